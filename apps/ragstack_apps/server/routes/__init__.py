"""Routers: each a function from a House to an APIRouter, registered by name."""
