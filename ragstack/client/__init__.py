"""A base behind a ragstack server, with the methods of ``Stack``: what runs where the models are."""

from __future__ import annotations

from ragstack.client.chats import RemoteChat
from ragstack.client.client import Client

__all__ = ["Client", "RemoteChat"]
