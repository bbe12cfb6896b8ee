"""Real environments with pixel observations: vectorised, with autoreset and exact resume in every suite."""

from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv

__all__ = ["EnvConfig", "RealVectorEnv", "make_env"]
