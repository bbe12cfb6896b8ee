"""The progress counters of a run."""

from __future__ import annotations

from dataclasses import dataclass

from adamas.core.errors import UserError


@dataclass
class Clock:
    """Progress counters, saved with every checkpoint."""

    epoch: int = 0
    phase: int = 0  # index of the phase within the epoch
    done: int = 0  # units of work done in the phase
    planned: int = 0  # units of work in the phase
    step: int = 0  # units of work since the run began
    num_epochs: int = 0  # known after epoch 0
    seconds: float = 0.0  # time spent in units of work, also before the run was resumed

    def change_final_epochs(self, before: int, now: int) -> None:
        """Change the number of final epochs from ``before`` to ``now``.

        Raises:
            UserError: the run is past its new end.
        """
        if self.epoch == 0:  # the number of epochs is not known yet
            return
        self.num_epochs += now - before
        begun = self.epoch if self.phase or self.done else self.epoch - 1
        if now < before and self.num_epochs < begun:
            raise UserError(
                f"`final_epochs` {now} would end the run after epoch {self.num_epochs}, but it has begun epoch "
                f"{begun}; give at least {now + begun - self.num_epochs}"
            )
