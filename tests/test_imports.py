"""Who may import whom, and what an import loads."""

import ast
from graphlib import TopologicalSorter

import pytest

import fcn_core
from tests.places import ROOT

HEAVY = {"tensorflow", "keras", "openvino"}
MAY_LOAD_KERAS = {
    *("networks.convert", "networks.graph", "networks.structure", "networks.proof", "networks.layers"),
    *("networks.own_file", "networks.own_config"),
    *("networks.head", "networks.layout", "networks.applications", "engines.tracing"),
    "networks.own_model",
    *("networks.efficientnet_lite", "networks.zoo", "networks.keras_settings"),
    *("engines.tensorflow", "engines.graph_cache", "evaluation.gradcam", "evaluation.verify"),
    *("portable.formats", "portable.making"),
}
MAY_LOAD_TENSORFLOW = {"engines.tensorflow", "evaluation.gradcam", "evaluation.verify"}
MAY_LOAD_OPENVINO = {"engines.openvino", "engines.graph_cache", "engines.tracing", "portable.making"}

# The rooms of the core from the ground up. A room may import from the floors below it, and from itself.
CORE_FLOORS = (
    ("errors",),
    ("settings",),
    ("system",),
    ("synsets", "images"),
    ("networks",),
    ("maps", "engines"),
    ("pipeline",),
    ("logs", "render", "evaluation", "portable"),
    ("export",),
    ("batch",),
    ("cli",),
    ("__main__", ""),
)
# Those of the app. What patches Streamlit serves every floor.
APP_FLOORS = (
    ("streamlit_patches",),
    ("state",),
    ("ui",),
    ("server", "explore", "compare", "many", "lesson"),
    ("pages",),
    ("",),
)


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted([*ROOT.glob("fcn_core/**/*.py"), *ROOT.glob("app/**/*.py")])}
FILES["streamlit_app"] = ROOT / "streamlit_app.py"
EVERY_FILE = FILES | {
    name_of(path): path for room in ("benchmarks", "fuzz", "scripts") for path in ROOT.glob(f"{room}/*.py")
}


def imports(path, *, lazily=True, types=False):
    """Modules that a file imports: those it runs (all, or those at its top), with `types` those for type checkers."""
    found = set()

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test) and not types:
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path.name} imports relatively"
                inner = {f"{child.module}.{alias.name}" for alias in child.names} & set(EVERY_FILE)
                found.update(inner or {child.module})
                if inner and len(inner) < len(child.names):
                    found.add(child.module)
            elif lazily or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return found


def room(name):
    """Of ``fcn_core.images.read`` it is ``images``; of the package itself nothing."""
    return name.split(".")[1] if "." in name else ""


CORE = {
    name.removeprefix("fcn_core."): imports(path)
    for name, path in FILES.items()
    if name.startswith("fcn_core.")
}


def loads(modules, names):
    return {name for name in modules if name.partition(".")[0] in names}


@pytest.mark.parametrize("name", FILES)
def test_imports_run_downwards(name):
    """The page -> app -> the core."""
    for module in imports(FILES[name]):
        assert module != "streamlit_app"
        if name.startswith("fcn_core"):
            assert module.partition(".")[0] not in ("app", "streamlit", "tests", "benchmarks"), module
        if name.startswith("app"):
            assert module.partition(".")[0] not in (*HEAVY, "tests", "benchmarks"), module


@pytest.mark.parametrize(("package", "floors"), [("fcn_core", CORE_FLOORS), ("app", APP_FLOORS)])
def test_every_room_has_a_floor(package, floors):
    named = [name for floor in floors for name in floor]
    assert sorted(named) == sorted({room(name) for name in FILES if name.partition(".")[0] == package})


@pytest.mark.parametrize("name", [name for name in FILES if name != "streamlit_app"])
def test_rooms_import_downwards(name):
    """Imports for type checkers count; those of the front door are its list of names."""
    package = name.partition(".")[0]
    floors = {"fcn_core": CORE_FLOORS, "app": APP_FLOORS}[package]
    height = {each: number for number, floor in enumerate(floors) for each in floor}
    for module in imports(FILES[name], types=True):
        if module.partition(".")[0] == package and room(module) != room(name):
            assert height[room(module)] < height[room(name)], f"{name} imports {module}"


def test_no_imports_go_round():
    graph = {name: imports(path, types=True) & set(EVERY_FILE) for name, path in EVERY_FILE.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the round trip


def test_errors_stand_alone():
    assert CORE["errors"] == set()
    for name in ("networks.geometry", "networks.layers"):
        assert {module for module in CORE[name] if module.startswith("fcn_core")} <= {"fcn_core.errors"}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [("keras", MAY_LOAD_KERAS), ("tensorflow", MAY_LOAD_TENSORFLOW), ("openvino", MAY_LOAD_OPENVINO)],
)
def test_few_load_the_heavy_packages(package, allowed):
    loading = {name for name, modules in CORE.items() if loads(modules, {package})}
    assert loading <= allowed
    assert loading, "the list is out of date"


def test_heavy_packages_are_loaded_late():
    """Only modules that are nothing without Keras import it as they are imported."""
    early = {
        name
        for name in CORE
        if loads(imports(FILES[f"fcn_core.{name}"], lazily=False), HEAVY)
    }  # fmt: skip
    assert early == {
        "networks.convert",
        "networks.graph",
        "networks.head",
        "networks.layout",
        "networks.structure",
        "networks.layers",
        "networks.efficientnet_lite",
    }


def test_the_front_door_lists_what_it_leads_to():
    tree = ast.parse(FILES["fcn_core"].read_text(encoding="utf-8"))
    for_type_checkers = {
        alias.name: node.module.removeprefix("fcn_core").removeprefix(".")
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        for alias in node.names
    }
    assert for_type_checkers == fcn_core._HOME
    assert sorted(fcn_core.__all__) == sorted(fcn_core._HOME)
    assert set(fcn_core.__all__) <= set(dir(fcn_core))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fcn_core.nonsense


def test_importing_the_core_loads_nothing_heavy(fresh_python):
    child = fresh_python(
        """
import sys
loaded = lambda *names: sorted(set(names) & set(sys.modules))
import fcn_core as fcn
print(loaded("tensorflow", "keras", "openvino", "numpy", "scipy", "skimage", "matplotlib", "PIL"))
for name in fcn.__all__:
    if name not in ("convert", "SoftmaxMap"):  # these are made of Keras
        getattr(fcn, name)
print(loaded("tensorflow", "keras", "openvino", "streamlit"))
"""
    )
    assert child.stdout.split("\n")[:2] == ["[]", "[]"]


def test_serving_a_prepared_model_loads_neither_keras_nor_tensorflow(lite0, fresh_python, tmp_path):
    """As a whole: read, compute, interpret, write; with Keras and TensorFlow made impossible to import."""
    child = fresh_python(
        """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None  # importing them raises
import skimage.data
from PIL import Image
from fcn_core.cli.entry import main
picture = sys.argv[1] + "/cat.png"
Image.fromarray(skimage.data.chelsea()).save(picture)
status = main(["heatmap", picture, "--synset", "cat", "--model", "efficientnet-lite0", "--scales", "200x300",
               "--engine", "openvino", "--out", sys.argv[1]])
print(status, *(name for name in ("openvino", "torch", "streamlit") if name in sys.modules))
""",
        str(tmp_path),
    )
    assert child.stdout.split()[-2:] == ["0", "openvino"]
    assert (tmp_path / "cat" / "manifest.json").is_file()
    assert (tmp_path / "cat" / "figure.png").is_file()
