"""Where documents come from.

Imports only ragstack's front door, protocols, types, errors, testing.
"""
