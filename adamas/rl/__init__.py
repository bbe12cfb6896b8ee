"""Reinforcement learning: the policy and its action distribution, rollouts, returns and losses."""
