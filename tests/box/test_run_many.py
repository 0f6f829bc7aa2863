"""minibox run-many: a box for each line of a file, or of a pipe."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess

import needs
import pytest

pytestmark = pytest.mark.needs("userns")


@pytest.fixture
def many(boxed):
    """`minibox run-many` on lines of JSON, by root and by a user."""
    def run(jobs, *arguments, **options):
        path = boxed.scratch / "jobs.jsonl"
        path.write_text("".join(job if isinstance(job, str) else json.dumps(job) + "\n"
                                for job in jobs))
        options["env"] = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
        command = "run-many", *arguments, options.pop("file", str(path))
        if options.pop("terminal", False):
            line = shlex.join([*boxed.python, "-m", "minibox", *command])
            return boxed.command("script", "-qec", line, "/dev/null", **options)
        return boxed.minibox(*command, **options)
    run.results = boxed.scratch / "results.jsonl"
    return run


def test_run_many_gives_a_line_for_each_job_in_order(many):
    done = many([{"name": "a", "argv": ["cat"], "input": "6 7"},
                 {"name": "b", "argv": ["sleep", "60"], "limits": {"walltime": 0.1}},
                 {"name": "c", "argv": ["sh", "-c", "exit 3"]}], "--cores", "1")
    assert done.returncode == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in found] == ["a", "b", "c"]
    assert [line["result"]["reason"] for line in found] == ["exited", "walltime", "exited"]
    assert found[0]["result"]["stdout"] == "6 7"
    assert found[2]["result"]["exit_status"] == 3
    assert len(found[0]["lease"]["cpus"]) >= 1
    assert "3 runs: 1 exited, 1 walltime, 1 failed" in done.stderr


def test_progress_tells_how_far_it_is_and_what_is_left_on_a_terminal(many):
    needs.require("script")
    jobs = [{"argv": ["true"]}, {"argv": ["false"]}, {"argv": ["sleep", "0.3"]}]
    shown = many(jobs, "--parallel", "1", "--results", str(many.results), terminal=True).stdout
    assert "3/3" in shown and "1 failed" in shown and "left" in shown
    assert many(jobs).stderr == "minibox: 3 runs: 2 exited, 1 failed\n"


def test_run_many_resumes(many):
    jobs = [{"argv": ["true"]}, {"argv": ["/no/such/program"], "name": "typo"}]
    command = "--quiet", "--results", str(many.results), "--resume"
    first, second = many(jobs, *command), many(jobs, *command)
    assert (first.returncode, second.returncode) == (1, 1)
    assert "minibox: typo: /no/such/program" in first.stderr and first.stdout == ""
    assert "1 runs: 1 error, 1 had their result" in second.stderr


def test_run_many_reads_a_pipe_and_answers_at_once(boxed):
    command = [*boxed.prefix, *boxed.python, "-m", "minibox", "run-many", "--quiet", "-"]
    environment = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE, env=environment, cwd="/") as served:
        for word in ("one", "two"):
            served.stdin.write(json.dumps({"argv": ["echo", word]}) + "\n")
            served.stdin.flush()
            assert json.loads(served.stdout.readline())["result"]["stdout"] == word + "\n"
        served.stdin.close()
        assert served.wait(30) == 0


@pytest.mark.parametrize("line, said", [
    ("nonsense", "2': it is no JSON"), ("[]", "2': give an object"),
    ('{"argv": "ls"}', "job argv: 'ls': in "), ("{}", "2': it has no argv"),
    ('{"argv": ["ls"], "name": 5}', "job name: 5: in "),
    ('{"argv": ["ls"], "limits": {"memroy": "1M"}}', "did you mean memory?"),
    ('{"argv": ["ls"], "limits": {"memory": "lots"}}', "job memory: 'lots': in "),
    ('{"argv": ["ls"], "volumes": ["data:/data"]}', "job mount source: 'data': in "),
    ('{"argv": ["ls"], "env": 5}', "2': "),
    ('{"argv": ["ls"], "netwrok": "none"}', "netwrok")])
def test_a_line_that_is_no_job_is_named_before_anything_runs(many, line, said):
    done = many([{"argv": ["true"]}, line + "\n"])
    assert done.returncode == 125
    assert done.stdout == ""
    assert said in done.stderr and done.stderr.startswith("minibox: job") \
        and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments, said", [
    (("--parallel", "many"), "parallel: 'many'"), (("--tty",), "--tty is for one box"),
    (("--resume",), "resume: True: name the file"), (("--memory", "x"), "memory: 'x'"),
    (("--coers", "1"), "did you mean --cores")])
def test_options_of_run_many_are_checked(many, arguments, said):
    done = many([{"argv": ["true"]}], *arguments)
    assert (done.returncode, done.stdout) == (125, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_named(many):
    done = many([], file="/no/such/file")
    assert done.returncode == 125
    assert "/no/such/file" in done.stderr and "No such file" in done.stderr


def test_ctrl_c_ends_run_many_and_all_its_boxes(boxed):
    command = [*boxed.prefix, *boxed.python, "-m", "minibox", "run-many", "--quiet", "-"]
    environment = boxed.environment | {"MINIBOX_LEASES": str(boxed.scratch / "leases")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE, env=environment, cwd="/") as served:
        served.stdin.write('{"argv": ["echo"]}\n{"argv": ["sleep", "60"]}\n')
        served.stdin.flush()
        served.stdout.readline()
        served.send_signal(signal.SIGINT)
        assert served.wait(30) == 130
        assert "Traceback" not in served.stderr.read()
