import pytest

from model.cost import NIGHT, describe_cost, multiply_adds
from model.network import build
from model.presets import PRESETS


def test_a_training_step_costs_three_forward_passes_but_for_the_first_layers_input() -> None:
    network = build([["dense", 784, 30], ["sigmoid"], ["dense", 30, 10]])
    assert network.training_multiply_adds() == 3 * (784 * 30 + 30 * 10) - 784 * 30
    conv = build([["image", 28, 28], ["conv", 1, 2, 5], ["flatten"], ["dense", 1152, 10]])
    assert conv.multiply_adds() == 24 * 24 * 25 * 2 + 11520
    assert conv.training_multiply_adds() == 2 * 28800 + 3 * 11520


def test_the_appliances_recipe_fits_one_night_on_a_pi_zero() -> None:
    recipe = PRESETS["appliance"]
    cost = multiply_adds(recipe, 60_000, recipe.epochs)
    assert cost == 58_000 * 28 * build(recipe.layers).training_multiply_adds()
    assert cost <= NIGHT
    # Examples through the camera are learned instead of digits: they cost one output more.
    camera = multiply_adds(recipe.for_camera(), 60_000, recipe.epochs)
    assert cost < camera <= min(NIGHT, 1.001 * cost)


def test_copies_and_held_out_digits_are_counted() -> None:
    recipe = PRESETS["scratch-rotated"]
    assert recipe.picture_count(60_000, 2) == 60_000 * 3 * 2
    assert PRESETS["appliance"].picture_count(600, 1) == 500


def test_the_plan_tells_size_work_and_hours() -> None:
    message = describe_cost(PRESETS["appliance"], 60_000, 28)
    assert "45,858 parameters, 801,792 multiply-adds a digit" in message
    hours = 2 * multiply_adds(PRESETS["appliance"], 60_000, 28) / 0.267e9 / 3600
    assert f"{hours:.1f} h" in message
    assert hours == pytest.approx(7.7, abs=0.1)
