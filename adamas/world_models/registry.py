"""All kinds of world models: one line for each, which names its configuration, its training and its policy.

Importing this module makes them known to configuration files and to the command line.
"""

from adamas.core.kinds import register
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.plain_actor_critic import PlainActorCriticConfig
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import DiamondConfig
from adamas.world_models.iris.training import IrisTraining
from adamas.world_models.iris.world import IrisConfig

register(DiamondConfig, DiamondTraining, ActorCriticConfig)  # the first kind is the default
register(IrisConfig, IrisTraining, PlainActorCriticConfig)
