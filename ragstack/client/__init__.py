"""A base behind a ragstack server, with the methods of ``Stack``."""

from __future__ import annotations

from ragstack.client.chats import RemoteChat
from ragstack.client.client import Client

__all__ = ["Client", "RemoteChat"]
