"""Reading a checkpoint runs no code from it and needs little more memory than the file."""

import hashlib
import io
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fcn_core.errors import WeightsInvalid
from fcn_core.networks.checkpoint import read_torch_weights
from fcn_core.networks.zoo import MODELS, find_weights, require_weights
from tests.waiting import wait_until

MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """Represents a storage of torch while a checkpoint is written."""

    def __init__(self, key, count):
        self.key, self.count = key, count


class Tensor:
    def __init__(self, storage, shape, strides=None, offset=0):
        self.storage, self.shape, self.offset = storage, shape, offset
        self.strides = strides or tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))

    def __reduce__(self):
        arguments = (self.storage, self.offset, self.shape, self.strides, False, OrderedDict())
        return Global("torch._utils", "_rebuild_tensor_v2"), arguments


class Global:
    """A name that pickles as a GLOBAL without being importable."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("never called")


class Writer(pickle._Pickler):
    """PyTorch's legacy format, without PyTorch."""

    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", Global("torch", "FloatStorage"), value.key, "cpu", value.count, None)
        return None

    def save_global_object(self, value):
        self.write(b"c" + value.module.encode() + b"\n" + value.name.encode() + b"\n")
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, Global: save_global_object}  # noqa: RUF012


def pickled(value):
    stream = io.BytesIO()
    Writer(stream, 2).dump(value)
    return stream.getvalue()


HEADER = pickled(MAGIC) + pickled(1001) + pickled({"little_endian": True})


def checkpoint(state=None, keys=("0",), storages=None, *, header=HEADER, raw_state=None):
    """Return the bytes of a checkpoint; by default with one tensor of 2 x 3 numbers."""
    if state is None:
        state = OrderedDict(weight=Tensor(Storage("0", 6), (2, 3)))
    if storages is None:
        storages = struct.pack("<q6f", 6, *range(6))
    return header + (raw_state or pickled(state)) + pickled(list(keys)) + storages


def read(tmp_path, data):
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    return read_torch_weights(path)


def test_a_plain_checkpoint_is_read(tmp_path):
    tensors = read(tmp_path, checkpoint())
    assert list(tensors) == ["weight"]
    assert tensors["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    turned = OrderedDict(a=Tensor(Storage("0", 6), (3, 2), (1, 3)), b=Tensor(Storage("0", 6), (), offset=5))
    tensors = read(tmp_path, checkpoint(turned))
    assert tensors["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["b"] == 5


class Call:
    """An object that pickles as a call of any function."""

    def __init__(self, module, name, *arguments, state=None):
        self.function, self.arguments, self.state = Global(module, name), arguments, state

    def __reduce__(self):
        return (self.function, self.arguments) + (() if self.state is None else (self.state,))


def state(*stack):
    """Return a pickle of these opcodes."""
    return pickle.PROTO + b"\x02" + b"".join(stack) + pickle.STOP


def text(value):
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


CANARY = "import pathlib; pathlib.Path('executed').touch()"
ORDERED = b"ccollections\nOrderedDict\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def storage(kind=b"ctorch\nFloatStorage\n", key="0", reference="storage"):
    return b"(" + text(reference) + kind + text(key) + text("cpu") + b"K\x06NtQ"


STORAGE = storage()
TENSOR = REBUILD + b"(" + STORAGE + b"K\x00K\x06\x85K\x01\x85\x89NtR"

# Every one executes something with pickle.load, or would disturb the reader.
HOSTILE_STATES = {
    "os.system": pickled(Call("os", "system", "touch executed")),
    "posix.system": pickled(Call("posix", "system", "touch executed")),
    "subprocess": pickled(Call("subprocess", "Popen", ["touch", "executed"])),
    "eval": pickled(Call("builtins", "eval", f"exec({CANARY!r})")),
    "exec as a value": pickled(OrderedDict(weight=Call("builtins", "exec", CANARY))),
    "exec as a tensor's shape": pickled(Call("torch._utils", "_rebuild_tensor_v2", Call("builtins", "exec", CANARY))),
    "getattr": pickled(Call("builtins", "getattr", Global("os", "path"), "join")),
    "__import__": pickled(Call("builtins", "__import__", "antigravity")),
    "copyreg": pickled(Call("copyreg", "_reconstructor", Global("builtins", "list"), None, None)),
    "torch.load": pickled(Call("torch", "load", "other.pth")),
    "torch.storage._load_from_bytes": pickled(Call("torch.storage", "_load_from_bytes", b"")),
    "numpy": pickled(Call("numpy", "load", "other.npy")),
    "a dotted name": pickled(Global("torch", "FloatStorage.__class__")),
    "a dotted module": pickled(Global("collections.OrderedDict", "__init__")),
    "OrderedDict of arguments": pickled(Call("collections", "OrderedDict", [("a", 1)])),
    "OrderedDict of a tensor": state(ORDERED, STORAGE, b"\x85R"),
    "OrderedDict with a state": state(ORDERED, b")R", text("a"), b"b"),
    "BUILD on OrderedDict sets attributes": state(ORDERED, b")R}", text("__reduce__"), b"Nsb"),
    "BUILD on a tensor": state(TENSOR, b"}", text("dtype"), text("O"), b"sb"),
    "BUILD on a name": state(ORDERED, b"}b"),
    "BUILD on a tuple": state(b")}b"),
    "a name as a tensor": state(b"}", text("weight"), ORDERED, b"s"),
    "a number as a tensor": state(b"}", text("weight"), b"K\x01s"),
    "a storage as a tensor": state(b"}", text("weight"), STORAGE, b"s"),
    "no dictionary": state(b"]"),
    "a number as a key": state(b"}K\x01", TENSOR, b"s"),
    "a nested tuple as a key": state(b"})", b"\x85" * 19_990, b"Ns"),
    "a list as a key": state(b"}]Ns"),
    "an unknown storage": state(storage(key="9")),
    "a storage of objects": state(storage(b"ctorch\nObjectStorage\n")),
    "a kind that is no name": state(storage(text("torch FloatStorage"))),
    "a module": state(storage(reference="module")),
    "a reference to a number": state(b"K\x01Q"),
    "a text reference": state(b"P0\n"),
    "a call of a string": state(text("collections OrderedDict"), b")R"),
    "a call without arguments": state(ORDERED, b"R"),
    "an empty stack": state(b"s"),
    "appends to a dictionary": state(b"}K\x01a"),
    "sets items of a list": state(b"]", text("a"), b"K\x01s"),
    "an odd number of items": state(b"}(", text("a"), b"u"),
    "a mark that is not there": state(b"t"),
    "takes beyond a mark": state(b"}K\x01(\x86"),
    "a memo that is not there": state(b"h\x07"),
    "a memo of 4 billion": state(b"}r\xff\xff\xff\xff"),
    "things left over": state(b"}}"),
    "a mark left over": state(b"}(0"),
    "no end": pickle.PROTO + b"\x02}",
    "nothing": b"",
    "INST": state(b"(ios\nsystem\n"),
    "OBJ": state(b"(cos\nsystem\no"),
    "NEWOBJ": state(ORDERED, b")\x81"),
    "EXT1": state(b"\x82\x01"),
    "STACK_GLOBAL": b"\x80\x04" + text("os") + text("system") + b"\x93.",
    "bytes": b"\x80\x04C\x01a.",
    "a frame of 2**63": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f}.",
    "a string of 4 GB": state(b"X\xff\xff\xff\xff"),
    "a string of 2**63": state(b"\x8d" + b"\xff" * 7 + b"\x7f"),
    "a number of 2 GB": state(b"\x8b\xff\xff\xff\x7f"),
    "a long decimal": state(b"L" + b"9" * 5000 + b"L\n"),
    "a float": state(b"G" + b"\x00" * 8),
    "no text": state(b"X\x02\x00\x00\x00\xff\xfe"),
    "no opcode": b"\x80\x02\xfe.",
    "many steps": state(b"}" * 300_000),
    "a list in itself": state(b"]q\x00h\x00a"),
    "shared lists, 2**60 long": state(b"]q\x00", *(b"]q%c" % i + b"h%ca" % (i - 1) * 2 for i in range(1, 60))),
}  # fmt: skip

REACHING = {
    "a tensor beyond its storage": Tensor(Storage("0", 6), (7,)),
    "an offset beyond": Tensor(Storage("0", 6), (2, 3), offset=1),
    "a negative offset": Tensor(Storage("0", 6), (2, 3), offset=-1),
    "negative strides": Tensor(Storage("0", 6), (6,), (-1,), 5),
    "a negative size": Tensor(Storage("0", 6), (-6,), (1,)),
    "no size": Tensor(Storage("0", 6), (0,), (1,)),
    "a size of 10**18 with stride 0": Tensor(Storage("0", 6), (10**9, 10**9), (0, 0)),
    "sizes beyond 64 bits": Tensor(Storage("0", 6), (2**70,), (0,)),
    "strides beyond 64 bits": Tensor(Storage("0", 6), (2,), (2**70,)),
    "a hundred dimensions": Tensor(Storage("0", 6), (1,) * 100, (1,) * 100),
    "more sizes than strides": Tensor(Storage("0", 6), (2, 3), (1,)),
    "a size of text": Tensor(Storage("0", 6), ("6",), (1,)),
    "a size of truth": Tensor(Storage("0", 6), (True,), (1,)),
    "a fractional offset": Tensor(Storage("0", 6), (2, 3), offset="0"),
}

OTHERWISE_WRONG = {
    "empty": b"",
    "text": b"not a checkpoint",
    "HTML": b"<!doctype html><html><body>Please log in</body></html>",
    "a zip": b"PK\x03\x04" + bytes(100),
    "zeros": bytes(1000),
    "another magic number": checkpoint(header=pickled(MAGIC + 1) + pickled(1001) + pickled({"little_endian": True})),
    "a list as magic number": checkpoint(header=pickled([MAGIC]) + pickled(1001) + pickled({"little_endian": True})),
    "another protocol": checkpoint(header=pickled(MAGIC) + pickled(1002) + pickled({"little_endian": True})),
    "big-endian": checkpoint(header=pickled(MAGIC) + pickled(1001) + pickled({"little_endian": False})),
    "code in the header": checkpoint(header=pickled(Call("os", "system", "touch executed")) + HEADER),
    "code in the machine": checkpoint(header=pickled(MAGIC) + pickled(1001) + HOSTILE_STATES["os.system"]),
    "a tensor as magic number": checkpoint(header=pickled(Tensor(Storage("0", 6), (6,))) + HEADER),
    "keys that are numbers": checkpoint(keys=(0,)),
    "keys missing": checkpoint(keys=()),
    "keys twice": checkpoint(keys=("0", "0")),
    "keys unknown": checkpoint(keys=("1",)),
    "code in the keys": HEADER + pickled(OrderedDict()) + pickled(Call("os", "system", "touch executed")),
    "a storage of 2**64 numbers": checkpoint(storages=b"\xff" * 8 + bytes(24)),
    "a storage of 2**62 numbers": checkpoint(storages=struct.pack("<q", 2**62) + bytes(24)),
    "a storage too short": checkpoint(storages=struct.pack("<q5f", 5, *range(5))),
    "a storage cut off": checkpoint()[:-1],
    "bytes after the end": checkpoint() + b"\0",
}  # fmt: skip


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Return a check that a file is refused with a message, runs no code and needs little memory."""
    monkeypatch.chdir(tmp_path)

    def check(data):
        modules = set(sys.modules)
        tracemalloc.start()
        try:
            with pytest.raises(WeightsInvalid) as refusal:
                read(tmp_path, data)
            assert tracemalloc.get_traced_memory()[1] < 3 * len(data) + 30e6
        finally:
            tracemalloc.stop()
        message = str(refusal.value)
        assert "weights.pth" in message and "_Refused" not in message
        assert "Install the weights package again." in message
        assert len(message) < 500
        assert not (tmp_path / "executed").exists()
        assert set(sys.modules) - modules <= {"encodings.raw_unicode_escape"}
        return message

    return check


@pytest.mark.parametrize("name", HOSTILE_STATES)
def test_states_with_anything_but_tensors_are_refused(name, refused):
    message = refused(checkpoint(raw_state=HOSTILE_STATES[name] or b"."))
    assert ("steps" in message) == (name == "many steps")
    assert ("memo of 4294967295" in message) == (name == "a memo of 4 billion")


def test_a_refused_file_does_not_change_the_reader(tmp_path):
    """The opcode BUILD sets attributes; it must not change tensors that are already checked."""
    values = state(b"}", text("storage"), b"Ns", b"}", text("__call__"), b"Ns", b"\x86", b"b")
    for target in (ORDERED, REBUILD, STORAGE, TENSOR):
        hostile = checkpoint(raw_state=state(target, values[2:-1]))
        with pytest.raises(WeightsInvalid, match="AttributeError"):
            read(tmp_path, hostile)
        assert read(tmp_path, checkpoint())["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("name", REACHING)
def test_tensors_that_reach_outside_their_storage_are_refused(name, refused):
    refused(checkpoint(OrderedDict(weight=REACHING[name])))


@pytest.mark.parametrize("name", OTHERWISE_WRONG)
def test_files_that_are_not_checkpoints_are_refused(name, refused):
    refused(OTHERWISE_WRONG[name])


def test_plain_pickle_runs_the_code_in_these_files(tmp_path):
    """Otherwise the tests above would prove nothing."""
    loads = "import pickle, sys; pickle.loads(open(sys.argv[1], 'rb').read())"
    for name in ("os.system", "eval", "exec as a value", "subprocess"):
        (tmp_path / "state").write_bytes(HOSTILE_STATES[name])
        subprocess.run([sys.executable, "-c", loads, "state"], cwd=tmp_path, check=False, capture_output=True)
        wait_until((tmp_path / "executed").exists)  # Popen does not wait
        (tmp_path / "executed").unlink()


def test_all_other_opcodes_are_refused(refused):
    needed = {
        opcode.name
        for opcode, _, _ in pickletools.genops(pickled(OrderedDict(w=Tensor(Storage("0", 6), (6,)))))
    }
    needed |= {"APPEND", "APPENDS", "BININT", "BININT1", "BININT2", "BINGET", "LONG_BINGET", "BINPUT"}
    needed |= {"LONG_BINPUT", "BUILD", "EMPTY_LIST", "EMPTY_DICT", "LONG1", "NEWTRUE", "SETITEMS"}
    needed |= {"TUPLE1", "TUPLE2", "TUPLE3"}
    others = [opcode for opcode in pickletools.opcodes if opcode.name not in needed]
    assert len(others) > 35
    for opcode in others:
        argument = b"1\n1\n" if opcode.arg is None or opcode.arg.n < 0 else bytes(opcode.arg.n)
        message = refused(checkpoint(raw_state=state(opcode.code.encode("latin-1"), argument)))
        assert opcode.name in message or "cannot be read" in message, opcode.name


def test_a_file_truncated_anywhere_is_refused(refused):
    data = checkpoint()
    for end in range(len(data)):
        refused(data[:end])


def test_the_real_file_truncated_or_damaged_is_refused_or_harmless(tmp_path, monkeypatch):
    """Without the digest: a changed number is still a number, everything else is refused."""
    monkeypatch.chdir(tmp_path)
    data = find_weights(MODELS["efficientnet-lite0"]).read_bytes()
    draw = random.Random(0)
    pickles = data.index(b"appends") if b"appends" in data else 90_000  # where the raw numbers begin, about
    for _ in range(20):
        with pytest.raises(WeightsInvalid):
            read(tmp_path, data[: draw.choice((draw.randrange(pickles), draw.randrange(len(data))))])
    outcomes = set()
    for _ in range(40):
        damaged = bytearray(data)
        damaged[draw.randrange(pickles)] ^= 1 << draw.randrange(8)
        try:
            tensors = read(tmp_path, bytes(damaged))
            assert all(isinstance(t, np.ndarray) and t.dtype.kind in "fi" for t in tensors.values())
            outcomes.add("read")
        except WeightsInvalid:
            outcomes.add("refused")
    assert outcomes >= {"refused"}
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_a_file_that_is_too_large_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "weights.pth"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(WeightsInvalid, match="more than any"):
        read_torch_weights(path)


@pytest.mark.parametrize("missing", ["folder", "nothing"])
def test_a_missing_file_is_refused(tmp_path, missing):
    path = tmp_path if missing == "folder" else tmp_path / "nothing.pth"
    with pytest.raises(WeightsInvalid, match="cannot be read"):
        read_torch_weights(path)


def test_the_digest_is_checked_before_the_file_is_read(tmp_path, monkeypatch):
    """A hostile file with the published name never reaches the reader."""
    spec = MODELS["efficientnet-lite2"]
    path = tmp_path / spec.weights.name
    path.write_bytes(checkpoint())
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(path))
    with pytest.raises(WeightsInvalid, match="sha256 differs"):
        require_weights(spec)
    honest = replace(spec.weights, digest=hashlib.sha256(path.read_bytes()).hexdigest())
    assert require_weights(replace(spec, weights=honest)) == Path(path)
