"""What routes are made with: a base, its model, who may ask, and what is at work."""

from __future__ import annotations

from dataclasses import dataclass, field

from ragstack import Stack
from ragstack_apps.accounts.accounts import Accounts
from ragstack_apps.accounts.settings import serve_settings
from ragstack_apps.server.batches import Batches
from ragstack_apps.server.calls import Calls
from ragstack_apps.server.guard.guard import Guard
from ragstack_apps.server.jobs import Jobs
from ragstack_apps.server.pictures import Pictures
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
        guard: Limits, metrics, traces, retention.
        runs: Answers being made, and those that were.
        jobs: Documents being taken in.
        batches: Requests of the model that wait for everything else.
        pictures: Draws pages.
        calls: Requests at work.
        open_paths: Paths that need no key; a router may add its own.
    """

    settings: Place
    service: Service
    accounts: Accounts
    guard: Guard
    runs: Runs
    jobs: Jobs
    batches: Batches
    pictures: Pictures = field(default_factory=Pictures)
    calls: Calls = field(default_factory=Calls)
    open_paths: set[str] = field(default_factory=lambda: {"/health", "/ready"})

    @classmethod
    def of(cls, stack: Stack, settings: Place) -> House:
        """Return the house over a base; its generator is found now, and loaded on first use.

        Raises:
            ModelError: The generator's model cannot be had.
            ConfigError: ``[serve]`` cannot be used, or the place would be open to others.
        """
        serve = serve_settings(stack.config.serve)
        accounts = Accounts(stack.parts.catalog, serve, api_key=settings.api_key)
        # Before the model is looked for: to be told this shall not wait for a download.
        settings.check(closed=accounts.closed)
        guard = Guard(serve, accounts, stack)
        service = Service(stack, guard, deadline_s=settings.deadline_s)
        jobs = Jobs(service.stack, guard.metrics.took_in)
        batches = Batches(service, jobs.uploads)
        return cls(settings, service, accounts, guard, Runs(service), jobs, batches)

    @property
    def stack(self) -> ServedStack:
        """The base."""
        return self.service.stack

    def close(self) -> None:
        """End what is at work and let go of the base. The generator is its owner's affair."""
        self.runs.close()
        self.batches.close()
        self.jobs.close()
        self.pictures.close()
        self.guard.close()
        self.accounts.close()
        self.service.close()
