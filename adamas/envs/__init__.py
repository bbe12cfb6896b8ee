"""Real environments: pixels in, pixels out, restarted and resumed the same way for every suite."""

from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv

__all__ = ["EnvConfig", "RealVectorEnv", "make_env"]
