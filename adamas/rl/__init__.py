"""Reinforcement learning: the policy, its returns and losses, and the one rollout for real games and dreams."""
