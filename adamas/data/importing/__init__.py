"""Recordings of others, in many formats, on their way into a store."""
