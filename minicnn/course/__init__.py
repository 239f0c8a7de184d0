"""The course: its lessons, and the checker of its exercises.

- ``lesson``: which lessons there are, and where their files are.
- ``task``: what a task of an exercise is: its check, its hints, and the mistakes that people make in it.
- ``student``: a student's functions, and what they did when they were called; ``expect`` compares what came back.
- ``same`` decides whether two answers are the same; ``diagnose`` finds the mistake that gives just the student's numbers.
- ``guard`` and ``isolation``: what an answer may not do, and the process of its own in which it runs.
- ``check``: all tasks of a file, and the verdicts on them; ``report`` puts them into words.
- ``notebook``: a check in a cell of a notebook. ``start``, ``export`` and ``grade``: the course for students and for teachers;
  ``selftest``: how good the checker is, measured. ``command`` is behind the commands.
- ``workbench``: what the lessons share: data, figures, and digits for those who have no MNIST.
"""

from .check import check_file
from .lesson import Lesson, all_lessons, find_lesson
from .student import Mistake, NotDone, Student
from .task import Slip, Task

__all__ = ["Lesson", "Mistake", "NotDone", "Slip", "Student", "Task", "all_lessons", "check_file", "find_lesson"]
