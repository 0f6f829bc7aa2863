"""The course: labs on what containers are made of, and a grader that looks from outside.

| module | |
|---|---|
| `lab` | what a lab is: a folder |
| `finding` | checks, and what they say |
| `bench` | the box in which a submission runs |
| `observe` | a process seen from outside, and the witness's board |
| `grader` | broken reference, solution, submission |
| `classes`, `meter`, `report` | many submissions; progress; CSV, JUnit, Gradescope |
| `start` | what a student begins with |
"""
