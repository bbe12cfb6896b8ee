"""Agents from files: runs, checkpoints, and the checkpoints that the authors of DIAMOND published."""
