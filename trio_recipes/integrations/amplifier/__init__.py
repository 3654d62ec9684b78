"""A drop-in for the recipes tool module of Amplifier: ``mount`` puts the tool ``recipes`` on a coordinator."""

from trio_recipes.integrations.amplifier.mounting import mount as mount

__amplifier_module_type__ = "tool"
