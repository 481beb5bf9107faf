"""A service's processes, from the environment to a running API, relay and consumers, and to a clean end."""

from govkernel.processes.process import Parts, Reacts, ServiceDefinition, openapi_text, run
from govkernel.processes.tasks import Tasks, Work

__all__ = ["Parts", "Reacts", "ServiceDefinition", "Tasks", "Work", "openapi_text", "run"]
