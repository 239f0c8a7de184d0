"""What minicnn claims about speed, memory and start-up, measured on your machine, beside the other engines that are installed.

::

    python -m benchmarks                       # everything, about forty minutes on two cores
    python -m benchmarks --quick               # the essentials, in about three minutes
    python -m benchmarks --only VGG-16         # the rows with this in their name, or in their group's
    python -m benchmarks --json results.json   # also written to a file
    python -m benchmarks --keep                # kept as this kind of processor's, and shown in docs/speed.md

It is run from the repository's root and is no part of the installed package. ``pip install ".[benchmarks]"`` installs the
engines that it compares with, PyTorch, ONNX Runtime and OpenVINO; what is not there is left out.

What is measured is in ``layers``, ``networks``, ``memory`` and ``startup`` (groups of rows), and in ``students`` and
``accuracy`` (tables of their own). How it is measured is in ``timing`` and ``children``, what PyTorch computes meanwhile in
``torch_twin``, the other engines in ``engines``. ``limits`` measures what the processor can do at most. ``summary`` has the
targets, and ``processors`` shows kinds of processors side by side. ``python -m benchmarks.assembly`` looks at what loops are
compiled to for each of them. ``python -m benchmarks.zoo`` makes the page ``docs/zoo.md``, and
``python -m benchmarks.recipe`` times all that ``minicnn transfer --full`` does, ``python -m benchmarks.scaling`` networks by
number of threads. ``python -m benchmarks.near_duplicates`` counts
how many altered copies are noticed, and ``python -m benchmarks.cifar_speedrun`` trains on CIFAR-10 as fast as can be;
``python -m benchmarks.kills`` kills trainings and compares what the resumed ones end with.
"""
