import json
import sys

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import inspect_kernels

from snnbench.errors import UserError


@pytest.fixture
def tools():
    try:
        inspect_kernels.tools()
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("tools")
def test_a_neuron_is_measured_and_set_against_what_it_was(tmp_path, capsys):
    out, before = tmp_path / "sass.json", tmp_path / "before.json"
    case = ["--neurons", "lif", "--steps", "4", "--dtypes", "float32"]
    assert inspect_kernels.main([*case, "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    assert set(written["versions"]) == {"nvrtc", "nvdisasm"}
    assert "--fmad=false" in written["options"]
    forward, backward = written["kernels"]
    assert [forward["kernel"], backward["kernel"]] == ["forward", "backward"]
    for row in (forward, backward):
        assert row["local_bytes"] == row["spilled_bytes"] == 0
        assert (row["load_bits"], row["store_bits"]) == ([128], [128])
    assert forward["instructions_per_element"] < 11
    assert 11 < backward["instructions_per_element"] <= 22
    assert (backward["loads_ahead"], backward["loads"]) == (10, 10)  # x and gs at four timesteps; v and its gradient

    now = backward["registers"]
    backward["registers"] += 1
    before.write_text(json.dumps(written))
    capsys.readouterr()
    assert inspect_kernels.main([*case, "--kernels", "backward", "--against", str(before)]) == 0
    assert f"| lif float32 T=4 backward | {now + 1} → {now} | 0 | 128 |" in capsys.readouterr().out


@pytest.mark.usefixtures("tools")
def test_the_longest_kernels_stay_in_registers(tmp_path):
    out = tmp_path / "sass.json"
    case = ["--neurons", "glif", "arlif", "--dtypes", "float16", "--steps", "32", "--kernels", "backward"]
    assert inspect_kernels.main([*case, "--json", str(out)]) == 0
    for row in json.loads(out.read_text())["kernels"]:
        assert row["local_bytes"] == row["spilled_bytes"] == 0
        assert row["loads_ahead"] == row["loads"]


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(UserError, match=r"pip install 'snnbench\[inspect\]'"):
        inspect_kernels.tools()


def test_the_code_in_a_loop_is_found():
    line = inspect_kernels.Instruction
    code = [
        line("MOV", "R0, RZ", ""),
        line("LDG.E.64.CONSTANT", "R2, desc[UR4][R4.64]", ".L_x_1"),
        line("BRA", "`(.L_x_2)", ""),
        line("CALL.REL.NOINC", "`(slow)", ""),
        line("STG.E.U16", "desc[UR4][R6.64], R2", ".L_x_2"),
        line("BRA", "`(.L_x_1)", ""),
        line("EXIT", "", ""),
    ]
    (loop,) = inspect_kernels.loops(code)
    assert loop == range(1, 6)
    assert [len(block) for block in inspect_kernels.blocks(code, loop)] == [2, 1, 2]
    assert [one.accesses("LDG", "STG") for one in code] == [0, 64, 0, 0, 16, 0, 0]
