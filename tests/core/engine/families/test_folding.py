"""Norms that are folded into convolutions, and those that are left alone."""

from __future__ import annotations

import torch
from torch import nn

from vlmtool_core.engine.families.parts.folding import fold_norms


class _Block(nn.Module):
    """A convolution and its norm, in the order of their names or the other way round."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.norm_first = norm_first
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)
            self.norm.weight.uniform_(0.5, 2)
            self.norm.bias.normal_()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        steps = (self.norm, self.conv) if self.norm_first else (self.conv, self.norm)
        return steps[1](steps[0](picture))


def test_only_what_gives_the_same_is_folded():
    torch.manual_seed(0)
    model = nn.Sequential(_Block(norm_first=False), _Block(norm_first=True)).eval()
    picture = torch.randn(2, 4, 9, 7)
    with torch.inference_mode():
        expected = model(picture)
    assert fold_norms(model) == 1
    assert isinstance(model[0].norm, nn.Identity)
    assert isinstance(model[1].norm, nn.BatchNorm2d)
    with torch.inference_mode():
        torch.testing.assert_close(model(picture), expected, atol=1e-5, rtol=1e-5)


def test_a_norm_of_another_width_is_no_pair():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(4)).eval()
    assert fold_norms(model) == 0
