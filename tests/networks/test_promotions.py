"""The order of the promotions, beside a list that does what it should do."""

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.errors import VaultError
from appliance.networks.vault import Vault
from tests.networks.test_vault import network, shipped_in


class Promoting(RuleBasedStateMachine):
    """The vault beside a list: what is promoted is put on it, rolling back takes it off."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        folder = Path(self.place.name)
        self.vault = Vault(folder / "networks", shipped=shipped_in(folder), keep=20)
        self.stack = [self.vault.load_current().id]
        self.ids: list[str] = []

    @rule(seed=st.integers(0, 5))
    def add(self, seed: int) -> None:
        id = self.vault.add(network(seed), {"seed": seed})
        if id not in self.ids:
            self.ids.append(id)

    @precondition(lambda self: self.ids)
    @rule(which=st.integers(0, 5))
    def promote(self, which: int) -> None:
        id = self.ids[which % len(self.ids)]
        self.vault.promote(id)
        if self.stack[-1] != id:
            self.stack.append(id)

    @rule()
    def roll_back(self) -> None:
        if len(self.stack) == 1:
            with pytest.raises(VaultError):
                self.vault.roll_back()
            return
        self.stack.pop()
        assert self.vault.roll_back() == self.stack[-1]

    @rule(above=st.lists(st.integers(0, 5), max_size=2))
    def killed_between_the_order_and_the_link(self, above: list[int]) -> None:
        if self.ids and (self.vault.folder / "promotions.txt").exists():
            with open(self.vault.folder / "promotions.txt", "a") as order:
                for which in above:
                    id = self.ids[which % len(self.ids)]
                    if id not in self.stack:
                        order.write(f"{id}\n")

    @rule()
    def restarted(self) -> None:
        self.vault = Vault(
            self.vault.folder, shipped=self.vault.folder.parent / "shipped.npz", keep=20
        )

    @invariant()
    def the_current_one_is_the_uppermost(self) -> None:
        held = self.vault.load_current()
        assert (held.id, held.problem) == (self.stack[-1], None)
        assert self.vault.previous_id() == (self.stack[-2] if len(self.stack) > 1 else None)

    def teardown(self) -> None:
        with suppress(OSError):
            self.place.cleanup()


TestPromoting = Promoting.TestCase
TestPromoting.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
