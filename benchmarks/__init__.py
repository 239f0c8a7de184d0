"""What minicnn claims about speed, memory and start-up, measured on your machine, with PyTorch beside it where it is installed.

::

    python -m benchmarks                       # everything, about forty minutes on two cores
    python -m benchmarks --quick               # the essentials, in about three minutes
    python -m benchmarks --only VGG-16         # the rows with this in their name, or in their group's
    python -m benchmarks --json results.json   # also written to a file

It is run from the repository's root and is no part of the installed package.

What is measured is in ``layers``, ``networks``, ``memory`` and ``startup`` (groups of rows), and in ``students`` and
``accuracy`` (tables of their own). How it is measured is in ``timing`` and ``children``, what PyTorch computes meanwhile in
``torch_twin``. ``summary`` has the targets. ``python -m benchmarks.zoo`` makes the page ``docs/zoo.md``, and
``python -m benchmarks.recipe`` times all that ``minicnn transfer --full`` does. ``python -m benchmarks.near_duplicates`` counts
how many altered copies are noticed, and ``python -m benchmarks.cifar_speedrun`` trains on CIFAR-10 as fast as can be;
``python -m benchmarks.kills`` kills trainings and compares what the resumed ones end with.
"""
