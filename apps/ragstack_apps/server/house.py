"""What routes are made with: a base, its model, who may ask, and what is at work."""

from __future__ import annotations

from dataclasses import dataclass, field

from ragstack import Stack
from ragstack_apps.server.batches import Batches
from ragstack_apps.server.caller import Accounts, OneKey
from ragstack_apps.server.calls import Calls
from ragstack_apps.server.jobs import Jobs
from ragstack_apps.server.place import Place
from ragstack_apps.server.runs import Runs
from ragstack_apps.server.served import ServedStack
from ragstack_apps.server.service import Service

__all__ = ["House"]


@dataclass
class House:
    """One server's parts, as every router is given them.

    Attributes:
        settings: Where it listens, and its limits.
        service: The model and the base as OpenAI's clients see them.
        stack: The base, whose generator serves each request in its own manner.
        accounts: Who may do what.
        runs: Answers being made, and those that were.
        jobs: Documents being taken in.
        batches: Requests of the model that wait for everything else.
        calls: Requests at work.
        open_paths: Paths that need no key; a router may add its own.
    """

    settings: Place
    service: Service
    accounts: Accounts
    runs: Runs
    jobs: Jobs
    batches: Batches
    calls: Calls = field(default_factory=Calls)
    open_paths: set[str] = field(default_factory=lambda: {"/health", "/ready"})

    @classmethod
    def of(cls, stack: Stack, settings: Place, *, accounts: Accounts | None = None) -> House:
        """Return the house over a base; its generator is found now, and loaded on first use.

        Raises:
            ModelError: The generator's model cannot be had.
        """
        service = Service(stack, deadline_s=settings.deadline_s)
        jobs = Jobs(service.stack)
        batches = Batches(service, jobs.uploads)
        known = accounts or OneKey(settings.api_key)
        return cls(settings, service, known, Runs(service), jobs, batches)

    @property
    def stack(self) -> ServedStack:
        """The base."""
        return self.service.stack

    def close(self) -> None:
        """End what is at work and let go of the base. The generator is its owner's affair."""
        self.runs.close()
        self.batches.close()
        self.jobs.close()
        self.service.close()
