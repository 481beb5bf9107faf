"""A client of the services' public APIs: the command line, imports and the demonstration use nothing else."""

from gov.client.addresses import Addresses, Misconfigured, NotRunning, find_addresses
from gov.client.client import Answer, Client, Unavailable, new_key
from gov.client.problems import Fault, Problem, Refused

__all__ = [
    "Addresses",
    "Answer",
    "Client",
    "Fault",
    "Misconfigured",
    "NotRunning",
    "Problem",
    "Refused",
    "Unavailable",
    "find_addresses",
    "new_key",
]
