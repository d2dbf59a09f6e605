"""docker-compose.yml in, its services as processes on loopback out: for tests, and without Docker.

Run: ``python scripts/stack.py --folder .stack [--profile NAME]``. Commands, environments, health
checks and the order of start are those of the compose file. What a container gives is replaced:
each port by a free one, each named volume by a folder, each service's name by 127.0.0.1. What
images hold is what is installed here.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Running", "StackFailed", "interpolated", "order", "read", "running", "seconds"]

COMPOSE = Path(__file__).resolve().parent.parent / "docker-compose.yml"
# What an image runs in front of the command.
ENTRYPOINTS: Mapping[str, Sequence[str]] = {"chroma": ("chroma",)}
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::?([-?])([^}]*))?\}|(\w+))")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_ADDRESS = re.compile(r"(http://|/dev/tcp/)([\w.-]+)([:/])(\d+)")
_KEPT = ("PATH", "HOME", "PYTHONPATH", "LANG", "TMPDIR", "HF_HUB_OFFLINE")


class StackFailed(Exception):
    """A service could not be started, or ended; says which, and the end of its log."""


def interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    """Return a value of a compose file with its variables filled in, as compose does.

    Raises:
        StackFailed: A variable that the file says has to be set is not.
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _filled(found, environ), value)
    if isinstance(value, Mapping):
        return {key: interpolated(each, environ) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, environ) for each in value]
    return value


def _filled(found: re.Match[str], environ: Mapping[str, str]) -> str:
    dollar, name, sign, rest, plain = found.groups()
    if dollar:
        return "$"
    given = environ.get(name or plain, "")
    if given or sign is None:
        return given
    if sign == "?":
        raise StackFailed(f"{name} is not set: {rest}")
    return str(interpolated(rest, environ))


def read(
    environ: Mapping[str, str], *, file: Path = COMPOSE, profiles: Iterable[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the services that start with some profiles, their variables filled in.

    Raises:
        StackFailed: A variable that has to be set is not.
    """
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    wanted = set(profiles)
    chosen = {
        name: service
        for name, service in data["services"].items()
        if not service.get("profiles") or wanted & set(service["profiles"])
    }
    return {name: interpolated(service, environ) for name, service in chosen.items()}


def order(services: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the services' names, each behind those it depends on."""
    found: list[str] = []

    def place(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise StackFailed(f"services wait for each other: {' -> '.join((*above, name))}")
        for needed in services[name].get("depends_on", {}):
            place(needed, (*above, name))
        if name not in found:
            found.append(name)

    for name in services:
        place(name, ())
    return found


def seconds(duration: str) -> float:
    """Return a duration of compose, such as ``1m30s``, in seconds."""
    found = _DURATION.fullmatch(duration)
    if not found or not any(found.groups()):
        raise StackFailed(f"a duration is such as '1m30s', got {duration!r}")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600.0 + minutes * 60 + rest


@dataclass
class Running:
    """Services at work.

    Attributes:
        folder: Holds a folder for each volume, and a log for each service.
        environ: What compose would read from ``.env``.
        ports: The port of this machine that stands for a service's own.
    """

    services: Mapping[str, Mapping[str, Any]]
    folder: Path
    environ: Mapping[str, str]
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def url(self, service: str, port: int) -> str:
        """Return where a service's port is."""
        return f"http://127.0.0.1:{self._port(service, port)}"

    def log(self, service: str) -> str:
        """Return what a service has said."""
        file = self.folder / f"{service}.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service: what compose sets, and what a process needs here."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        for name, value in self.services[service].get("environment", {}).items():
            if value is not None:
                kept[name] = self._here(service, str(value))
            elif name in self.environ:  # a name alone: compose passes it on where it is set
                kept[name] = self._here(service, self.environ[name])
        return kept

    def command(self, service: str) -> list[str]:
        """Return what a service runs."""
        words = [str(word) for word in self.services[service]["command"]]
        return self._words(service, [*ENTRYPOINTS.get(service, ()), *words])

    def run(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside a service, as ``docker compose exec`` does."""
        return subprocess.run(
            self._words(service, list(words)),
            env=self.environment(service),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def healthy(self, service: str) -> bool:
        """Return whether a service's own health check passes now."""
        check = self.services[service]["healthcheck"]
        kind, *words = check["test"]
        if kind != "CMD":
            raise StackFailed(f"{service}: a health check is CMD and a list, got {kind!r}")
        try:
            done = subprocess.run(
                self._words(service, words),
                env=self.environment(service),
                capture_output=True,
                timeout=seconds(check["timeout"]),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def start(self) -> None:
        """Start every service when those it waits for are ready.

        Raises:
            StackFailed: One ended, or was not healthy in time.
        """
        for name in order(self.services):
            self._start(name)
            if self.services[name].get("restart") == "no":
                self._finished(name)
            elif not self.services[name]["healthcheck"].get("disable"):
                self._awaited(name)

    def stop(self) -> None:
        """Stop what runs, the last first, with the patience that the file gives each."""
        for name, process in reversed(self._processes.items()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(seconds(self.services[name].get("stop_grace_period", "10s")))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def exit_codes(self) -> dict[str, int | None]:
        """Return how each process ended; None runs."""
        return {name: process.poll() for name, process in self._processes.items()}

    def _start(self, name: str) -> None:
        command = self.command(name)
        if shutil.which(command[0], path=self.environment(name)["PATH"]) is None:
            raise StackFailed(f"{name}: the program {command[0]!r} is not installed here")
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, env=self.environment(name), cwd=self.folder, stdout=log, stderr=log
            )

    def _finished(self, name: str) -> None:
        if code := self._processes[name].wait():
            raise StackFailed(f"{name} ended with {code}\n{self.log(name)[-2000:]}")

    def _awaited(self, name: str) -> None:
        check = self.services[name]["healthcheck"]
        end = time.monotonic() + seconds(check["start_period"])
        while not self.healthy(name):
            if (code := self._processes[name].poll()) is not None:
                raise StackFailed(f"{name} ended with {code}\n{self.log(name)[-2000:]}")
            if time.monotonic() > end:
                raise StackFailed(f"{name} is not healthy in time\n{self.log(name)[-2000:]}")
            time.sleep(min(0.2, seconds(check["start_interval"])))

    def _port(self, service: str, port: int) -> int:
        if (service, port) not in self.ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[service, port] = int(free.getsockname()[1])
        return self.ports[service, port]

    def _words(self, service: str, words: Sequence[str]) -> list[str]:
        found = [self._here(service, word) for word in words]
        for at, word in enumerate(found[:-1]):
            if word == "--port":
                found[at + 1] = str(self._port(service, int(found[at + 1])))
        return found

    def _place(self, mounted: str) -> Path:
        """Return the folder that stands for a volume, or the one that is bound."""
        if mounted.startswith((".", "/")):
            return (COMPOSE.parent / mounted).resolve()
        place = self.folder / "volumes" / mounted
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _here(self, service: str, text: str) -> str:
        """Return a text with places of containers turned into places of this machine."""

        def address(found: re.Match[str]) -> str:
            scheme, host, mark, port = found.groups()
            of = service if host == "127.0.0.1" else host
            if of not in self.services:
                return found[0]
            return f"{scheme}127.0.0.1{mark}{self._port(of, int(port))}"

        if text == "0.0.0.0":
            return "127.0.0.1"
        for mount in self.services[service].get("volumes", ()):
            name, target = mount.split(":")[:2]
            if text == target or text.startswith(f"{target}/"):
                return str(self._place(name)) + text.removeprefix(target)
        return _ADDRESS.sub(address, text)


@contextmanager
def running(
    folder: Path,
    environ: Mapping[str, str],
    *,
    profiles: Iterable[str] = (),
    only: Iterable[str] | None = None,
) -> Iterator[Running]:
    """Run the services, some of them, until the block is left.

    Raises:
        StackFailed: One could not be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    services = read(environ, profiles=profiles)
    if only is not None:
        services = {name: services[name] for name in only}
    stack = Running(services, folder.resolve(), environ)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack until Ctrl-C; its places are printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".stack"), help="volumes and logs")
    parser.add_argument("--profile", action="append", default=[], help="as docker compose has it")
    given = parser.parse_args(arguments)
    try:
        with running(given.folder, os.environ, profiles=given.profile) as stack:
            for (name, port), here in stack.ports.items():
                print(f"{name:10} {port:5}  http://127.0.0.1:{here}")
            signal.pause()
    except StackFailed as failed:
        sys.stderr.write(f"error: {failed}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
