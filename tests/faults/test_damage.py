"""Networks that are damaged, and a link and an order that are lost: the next best reads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import VaultError
from appliance.networks.vault import Vault
from model import weights
from tests.networks.test_vault import network, promoted, shipped_id, shipped_in, states


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "networks", shipped=shipped_in(tmp_path))


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-500])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def gone(file: Path) -> None:
    file.unlink()


def exchanged(file: Path) -> None:
    weights.save(file, network(55), {})


def linked_outside(file: Path) -> None:
    target = file.parent.parent / "outside.npz"
    file.rename(target)
    file.symlink_to(target)


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [truncated, emptied, flipped, gone, exchanged, linked_outside, a_folder]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_current_network_gives_way_to_the_one_before_and_says_so(
    vault: Vault, damage: Callable[[Path], None]
) -> None:
    one, two = promoted(vault)
    damage(vault.folder / f"{two}.npz")
    held = vault.load_current()
    assert held.id == one
    assert held.problem is not None
    assert held.problem.startswith("the current network is damaged (")
    assert f"{two}.npz" in held.problem
    assert f"{one}, promoted before it, stands in" in held.problem
    assert states(vault)[one] == "current"
    if damage is not gone:
        assert states(vault)[two] == "damaged"
        with pytest.raises(VaultError, match=f"network {two} cannot read"):
            vault.promote(two)
    assert vault.roll_back() == one
    assert (vault.load_current().id, vault.load_current().problem) == (one, None)


def test_when_those_before_are_damaged_too_the_shipped_one_reads(vault: Vault) -> None:
    for id in promoted(vault, 3):
        truncated(vault.folder / f"{id}.npz")
    held = vault.load_current()
    assert held.card["preset"] == "shipped"
    assert "which ships, stands in" in str(held.problem)
    assert vault.roll_back() == shipped_id(vault)
    assert vault.load_current().problem is None


def test_the_current_one_reads_although_the_shipped_one_is_damaged(vault: Vault) -> None:
    (one,) = promoted(vault, 1)
    truncated(vault.folder.parent / "shipped.npz")
    assert (vault.load_current().id, vault.load_current().problem) == (one, None)
    assert [entry.state for entry in vault.list_networks()] == ["current", "damaged"]
    truncated(vault.folder / f"{one}.npz")
    with pytest.raises(weights.WeightsError, match="install the appliance again"):
        vault.load_current()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.npz", "0" * 12, ".", None, "file"])
def test_a_link_that_is_lost_or_leads_elsewhere_is_not_followed(
    vault: Vault, target: str | None
) -> None:
    one, two = promoted(vault)
    link = vault.folder / "current"
    (vault.folder.parent / "outside.npz").write_bytes(link.read_bytes())
    link.unlink()
    if target == "file":
        link.write_bytes((vault.folder / f"{one}.npz").read_bytes())
    elif target:
        link.symlink_to(target)
    held = vault.load_current()
    assert held.id == two
    assert "does not lead to a network of its folder" in str(held.problem)
    vault.promote(two)
    assert (vault.load_current().id, vault.load_current().problem) == (two, None)
    assert vault.previous_id() == one


def test_a_link_to_a_network_that_is_not_there_is_a_problem(vault: Vault) -> None:
    _, two = promoted(vault)
    (vault.folder / "current").unlink()
    (vault.folder / "current").symlink_to(f"{'0' * 12}.npz")
    assert vault.load_current().id == two
    assert f"{'0' * 12}.npz is not there" in str(vault.load_current().problem)


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00 nonsense\n" * 50, b"../../x\n"])
def test_the_order_may_be_lost_the_link_is_what_counts(vault: Vault, content: bytes | None) -> None:
    _, two = promoted(vault)
    order = vault.folder / "promotions.txt"
    order.unlink()
    if content is not None:
        order.write_bytes(content)
    assert (vault.load_current().id, vault.load_current().problem) == (two, None)
    assert vault.roll_back() == shipped_id(vault)


def test_a_folder_that_is_gone_leaves_the_shipped_one(vault: Vault) -> None:
    for id in promoted(vault):
        (vault.folder / f"{id}.npz").unlink()
    for file in vault.folder.iterdir():
        file.unlink()
    vault.folder.rmdir()
    assert (vault.load_current().id, vault.load_current().problem) == (shipped_id(vault), None)
