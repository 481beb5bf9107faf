"""A service's processes, from the environment to a running API, relay and consumers, and to a clean end."""

from govkernel.processes.process import Parts, Reacts, ServiceDefinition, Wiring, openapi_text, run
from govkernel.processes.tasks import Tasks, Work

__all__ = ["Parts", "Reacts", "ServiceDefinition", "Tasks", "Wiring", "Work", "openapi_text", "run"]
