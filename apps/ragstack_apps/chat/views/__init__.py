"""The pages, one module each, registered by name under the kind ``pages``."""
