"""A rank with one fault in it, named by EVOLVESEARCH_TEST_FAULT; else it is like any other."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from training import weights
from training.launch import rank
from training.sft_trainer import PackedSftTrainer

FAULT = "EVOLVESEARCH_TEST_FAULT"


def _spoil(fault: str) -> None:
    compute_loss = PackedSftTrainer.compute_loss
    second = os.environ["RANK"] == "1"

    def faulty(self: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = compute_loss(self, *args, **kwargs)
        if second and self.state.global_step == 1:
            if fault == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if fault == "raise":
                raise ValueError("a fault of the test")
            if fault == "stuck":
                time.sleep(3600)
            if fault == "nan":
                with torch.no_grad():
                    for parameter in self.model.parameters():
                        parameter.fill_(float("nan"))
                return compute_loss(self, *args, **kwargs)
        return loss

    PackedSftTrainer.compute_loss = faulty
    if fault == "sync":
        weights.kept_weights = lambda *_, **__: time.sleep(3600)


if __name__ == "__main__":
    _spoil(os.environ[FAULT])
    rank.main()
