"""The way over from the original: its tokenizers and weights do here what they did there, and run nothing."""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import io
import json
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from sb_api.bootstrap import legacy
from sb_api.bootstrap.legacy import import_tokenizers, import_weights, read_weights
from sb_api.cli import main
from sb_api.config import load_settings
from sb_api.errors import InvalidTokenizer, InvalidWeights
from sb_api.models import networks
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.weights_store import WeightsStore
from sb_api.preprocessing import UNKNOWN_EMAIL, UNKNOWN_WEBSITE, editor_vectors
from sb_api.records import Editor
from sb_api.text.tokenizers import Vocabularies, parse_vocabulary
from sb_api.text.words import split_words
from tests.conftest import make_once
from tests.support.factories import unmeasured

FIELDS = ("bio", "email", "website")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Keras 2 left behind, see make_legacy_files.py."""
    if importlib.util.find_spec("tf_keras") is None:
        assert not os.environ.get("CI"), "tf_keras is missing"
        pytest.skip("tf_keras is missing, which is Keras 2")
    script = Path(__file__).parents[1] / "support" / "make_legacy_files.py"

    def make(folder: Path) -> None:
        command = [
            sys.executable,
            "-P",
            str(script),
            str(folder),
        ]  # -P: a module beside it may be named as a standard one
        subprocess.run(command, env=unmeasured(), check=True, capture_output=True, timeout=300)

    return make_once(tmp_path_factory, "legacy", make)


@pytest.fixture(scope="session")
def vocabularies(files: Path) -> Vocabularies:
    return import_pickles(files, protocol=4)


def import_pickles(files: Path, protocol: int) -> Vocabularies:
    return import_tokenizers(*((files / f"{field}.{protocol}.pickle").read_bytes() for field in FIELDS))


class Tokenizer:
    """Pickles under any module's name, with the attributes that a Keras Tokenizer has after `fit_on_texts`."""

    def __init__(self, **changes: Any) -> None:
        self.word_counts = collections.OrderedDict([("one", 9), ("two", 5), ("three", 1)])
        self.word_docs = collections.defaultdict(int, {"one": 4, "two": 5, "three": 1})
        self.filters = ""
        self.split = " "
        self.lower = True
        self.num_words: Any = 1000
        self.document_count: Any = 6
        self.char_level = False
        self.oov_token = None
        self.index_docs = collections.defaultdict(int, {1: 4, 2: 5, 3: 1})
        self.word_index = {"one": 1, "two": 2, "three": 3}
        self.index_word = {1: "one", 2: "two", 3: "three"}
        self.analyzer = None
        self.__dict__.update(changes)


def dump(
    monkeypatch: pytest.MonkeyPatch, module: str = "keras_preprocessing.text", protocol: int = 4, **changes: Any
) -> bytes:
    with monkeypatch.context() as patch:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):  # pickle imports the packages too
            patch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(module))
        vars(sys.modules[module])["Tokenizer"] = Tokenizer
        patch.setattr(Tokenizer, "__module__", module)
        without = {name for name, value in changes.items() if value is ...}
        tokenizer = Tokenizer(**changes)
        for name in without:
            delattr(tokenizer, name)
        return pickle.dumps(tokenizer, protocol)


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    bio = dump(monkeypatch, filters=legacy.KERAS_FILTERS, num_words=512)
    return {"bio": bio, "email": dump(monkeypatch), "website": dump(monkeypatch)}


# Tokenizers


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bios_give_the_tf_idf_that_keras_gives(files: Path, protocol: int) -> None:
    bios = json.loads((files / "bios.json").read_text())
    vocabularies = import_pickles(files, protocol)
    vectors = editor_vectors([Editor(id=number, bio=bio) for number, bio in enumerate(bios)], vocabularies)
    expected = np.load(files / "tokenized.npz")["bio"]
    assert expected.shape == (len(bios), 512)
    assert np.count_nonzero(expected) > 2000
    np.testing.assert_allclose(vectors[:, 12:], expected, rtol=1e-6)


def test_domains_and_hosts_get_the_ranks_that_keras_gives(files: Path, vocabularies: Vocabularies) -> None:
    hosts = json.loads((files / "hosts.json").read_text())
    expected = np.load(files / "tokenized.npz")
    editors = [Editor(id=host, email=f"a@{host}", website=f"https://{host}/") for host in hosts]
    tokens = editor_vectors(editors, vocabularies)[:, 10:12]
    for column, field, unknown in ((0, "email", UNKNOWN_EMAIL), (1, "website", UNKNOWN_WEBSITE)):
        assert 0 in expected[field]
        np.testing.assert_array_equal(tokens[:, column], np.where(expected[field], expected[field], unknown))


def test_every_place_of_the_network_is_used_and_no_more(vocabularies: Vocabularies) -> None:
    assert {field: len(vocabularies[field].words) for field in FIELDS} == {"bio": 511, "email": 1022, "website": 1021}


def test_imported_vocabularies_survive_being_saved(vocabularies: Vocabularies) -> None:
    for field in FIELDS:
        assert parse_vocabulary(vocabularies[field].to_json(), 1022, field) == vocabularies[field]


def test_the_keras_filters_are_those_of_preprocessing() -> None:
    splitting = {character for character in map(chr, range(128)) if len(split_words(f"a{character}b")) == 2}
    assert {character for character in splitting if not character.isspace()} | set("\t\n") == set(legacy.KERAS_FILTERS)


@pytest.mark.parametrize(
    "module",
    [
        "keras_preprocessing.text",
        "keras.preprocessing.text",
        "keras.src.preprocessing.text",
        "keras.src.legacy.preprocessing.text",
        "tf_keras.preprocessing.text",
        "tf_keras.src.preprocessing.text",
        "tensorflow.keras.preprocessing.text",
        "tensorflow.python.keras.preprocessing.text",
        "tensorflow_core.python.keras.preprocessing.text",
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_every_home_that_the_class_had_is_known(
    module: str, protocol: int, sound: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    email = import_tokenizers(**sound | {"email": dump(monkeypatch, module, protocol)})["email"]
    assert email.documents == 6
    assert email.words == (("one", 4), ("two", 5), ("three", 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_words": 3}, 2),
        ({"num_words": 1}, 0),
        ({"num_words": None}, 3),
        ({"num_words": 0}, 3),
        ({"num_words": 4}, 3),
    ],
)
def test_keras_uses_the_ranks_below_num_words(
    changes: dict[str, Any], words: int, sound: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = import_tokenizers(**sound | {"email": dump(monkeypatch, **changes)})["email"]
    assert [word for word, _ in vocabulary.words] == ["one", "two", "three"][:words]


@pytest.mark.parametrize("missing", ["char_level", "oov_token", "analyzer", "index_docs", "index_word", "num_words"])
def test_attributes_that_earlier_versions_lack_are_not_needed(
    missing: str, sound: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = dump(monkeypatch, **{missing: ...})
    assert import_tokenizers(**sound | {"email": without}).fingerprint == import_tokenizers(**sound).fingerprint


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"char_level": True}, "True, None"),
        ({"oov_token": "<unknown>"}, "<unknown>"),
        ({"oov_token": ""}, "False, ''"),
        ({"filters": legacy.KERAS_FILTERS}, "and '!.* None. and ''"),
        ({"lower": False}, "of .False"),
        ({"split": "."}, "True, '.'"),
        ({"analyzer": "len"}, "analyzer"),
        ({"num_words": 1024}, "uses 1023 words and the network has room for 1022"),
        ({"num_words": -1}, "num_words"),
        ({"num_words": "5"}, "num_words"),
        ({"document_count": 0}, "document_count"),
        ({"document_count": 4}, "'two'"),
        ({"document_count": 2**70}, "LONG1"),
        ({"word_index": "one"}, "word_index"),
        ({"word_index": ["one"]}, "EMPTY_LIST"),
        ({"word_index": {"one": 1, "two": 3}}, "not ranked"),
        ({"word_index": {"one": 0, "two": 1}}, "not ranked"),
        ({"word_index": {"one": 1, "two": 1, "three": 2}}, "not ranked"),
        ({"word_index": {"one": True, "two": 2, "three": 3}}, "word_index"),
        ({"word_index": {1: 1, 2: 2, 3: 3}}, "word_index"),
        (
            {"word_index": {"one": 1, "two": 2, "\ud800": 3}, "word_docs": {"one": 4, "two": 5, "\ud800": 1}},
            "surrogate",
        ),
        ({"word_docs": {"one": 4, "two": 5, "three": "1"}}, "word_docs"),
        ({"word_docs": {"one": 4, "two": 5, "three": -1}}, "word_docs"),
        ({"word_docs": {"one": 4, "two": 5}}, "'three'"),
        ({"index_docs": {1: 4, 2: 5, 3: 2}}, "'three'"),
        ({"index_docs": {1: 4, 2: 5}}, "'three'"),
        ({"filters": ...}, "filters"),
        ({"word_docs": ...}, "word_docs"),
    ],
)
def test_tokenizers_that_find_other_words_are_refused(
    changes: dict[str, Any], reason: str, sound: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidTokenizer, match=f"^The email tokenizer .*{reason}"):
        import_tokenizers(**sound | {"email": dump(monkeypatch, **changes)})


def test_files_in_the_wrong_order_are_refused(files: Path) -> None:
    bio, email, website = ((files / f"{field}.4.pickle").read_bytes() for field in FIELDS)
    with pytest.raises(InvalidTokenizer, match=r"^The website tokenizer .* of another field"):
        import_tokenizers(bio, website, email)
    with pytest.raises(InvalidTokenizer, match=r"^The bio tokenizer .* filters"):
        import_tokenizers(email, bio, website)


class Reduced:
    """Pickles as a call."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> Any:
        return self._call


def attacks(canary: Path) -> dict[str, bytes]:
    touch = f"touch {canary}"
    opened = f"open({str(canary)!r}, 'w')"
    name = b"ckeras_preprocessing.text\nTokenizer\n"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    dotted = pickle.PROTO + b"\x04" + text("keras.preprocessing.text") + text("Tokenizer.__init__.__globals__")
    return {
        "os.system": pickle.dumps(Reduced(os.system, (touch,))),
        "os.system, protocol 0": pickle.dumps(Reduced(os.system, (touch,)), 0),
        "eval": pickle.dumps(Reduced(eval, (opened,))),
        "exec in an attribute": pickle.dumps({"word_index": Reduced(exec, (opened,))}),
        "open": pickle.dumps(Reduced(open, (str(canary), "w"))),
        "subprocess": pickle.dumps(Reduced(subprocess.Popen, (["touch", str(canary)],))),
        "getattr": pickle.dumps(Reduced(getattr, (collections.OrderedDict, "fromkeys"))),
        "a name inside the class": dotted + b"\x93.",
        "a module inside the class's": b"ckeras.preprocessing.text.os\nsystem\n" + text(touch) + b"\x85R.",
        "a call of the Tokenizer": name + text(touch) + b"\x85R.",
        "a call of int": b"cbuiltins\nint\n" + text("7") + b"\x85R.",
        "a default made by a call": b"ccollections\ndefaultdict\nccollections\nOrderedDict\n\x85R.",
        "a call of a text": text("os.system") + text(touch) + b"\x85R.",
        "INST": b"(" + text(touch) + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + text(touch) + b"o.",
        "NEWOBJ_EX": name + b")}\x92.",
        "an extension": b"\x82\x01.",
        "a persistent id": b"Pos.system\n.",
        "out-of-band data": b"\x97.",
        "a built class": name + b"}" + text("__setstate__") + b"cos\nsystem\nsb.",
        "a name that is no text": name + b")\x93.",
    }


@pytest.mark.parametrize("attack", attacks(Path()))
def test_nothing_that_a_pickle_asks_for_is_run(attack: str, sound: dict[str, bytes], tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for content in (attacks(canary)[attack], sound["email"][:-2] + attacks(canary)[attack]):
        with pytest.raises(InvalidTokenizer, match=r"^The email tokenizer "):
            import_tokenizers(**sound | {"email": content})
    assert not canary.exists()


def test_the_refusal_names_what_was_asked_for(sound: dict[str, bytes]) -> None:
    content = pickle.dumps(Reduced(os.system, ("true",)))
    with pytest.raises(InvalidTokenizer, match=re.escape("it asks for 'posix.system'")):
        import_tokenizers(**sound | {"website": content})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"N.",
        b"}.",
        b"not a pickle",
        b"\x80\x02",
        b"(" * 20_000,
        b"N" * 20_000,
        b"}q\x00" + b"".join(b"Nr" + struct.pack("<I", number) for number in range(20_000)) + b".",
        b"Nr\xff\xff\xff\xff.",  # would make the C unpickler fill 64 GiB
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x8b\xff\xff\xff\x7f.",
        b"}((" + b"\x86q\x00h\x00h\x00" * 60 + b"\x86Ns.",  # a key whose hash takes 2 to the 60 steps
        b"}q\x00h\x00h\x00sh\x00.",
        b"}q\x00X\x01\x00\x00\x00ah\x00s.",
        b"}}Ns.",
        b"}NNs.",
        b"}(Nu.",
        b"h\x05.",
        b"s.",
        b"b.",
        b"\x85.",
        b"\x93.",
        b"R.",
    ],
)
def test_malformed_pickles_are_refused(content: bytes, sound: dict[str, bytes]) -> None:
    with pytest.raises(InvalidTokenizer, match=r"^The bio tokenizer "):
        import_tokenizers(**sound | {"bio": content})


def test_damaged_pickles_are_refused_or_harmless(sound: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(22)
    for protocol in (2, 4):
        whole = dump(monkeypatch, protocol=protocol)
        for length in range(len(whole)):
            with pytest.raises(InvalidTokenizer):
                import_tokenizers(**sound | {"email": whole[:length]})
        for _ in range(3000):
            damaged = bytearray(whole)
            for _ in range(generator.randrange(1, 4)):
                damaged[generator.randrange(len(whole))] = generator.randrange(256)
            with contextlib.suppress(InvalidTokenizer):
                import_tokenizers(**sound | {"email": bytes(damaged)})


def test_an_oversized_pickle_is_refused_unread(sound: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "MAX_PICKLE_BYTES", 100)
    with pytest.raises(InvalidTokenizer, match="at most 100 are read"):
        import_tokenizers(**sound)


# Weights


@pytest.fixture(scope="session")
def lodbrok() -> Any:
    return networks.build_lodbrok()


@pytest.mark.parametrize("saved", ["whole", "weights"])
def test_imported_weights_give_the_probabilities_that_keras_2_gave(saved: str, files: Path, lodbrok: Any) -> None:
    networks.set_arrays(lodbrok, import_weights((files / f"{saved}.h5").read_bytes()))
    predicted = np.load(files / "predicted.npz")
    inputs = {name: predicted[name] for name in predicted.files if name != "probabilities"}
    expected = predicted["probabilities"]
    assert expected[:, 1].std() > 0.1  # the rows differ, so that a swap would show
    np.testing.assert_allclose(lodbrok(inputs, training=False), expected, rtol=0, atol=1e-5)


def test_other_names_of_the_cell_are_known(files: Path) -> None:
    """Keras 2.3 has no `lstm_cell` in the name, and tf.keras numbers it when more than one network was built."""

    def rename(file: h5py.File) -> None:
        group = file["model_weights/email_lstm/email_lstm"]
        group.move("lstm_cell", "lstm_cell_3")
        for name in ("kernel:0", "recurrent_kernel:0", "bias:0"):
            file.move(f"model_weights/bio_lstm/bio_lstm/lstm_cell/{name}", f"model_weights/bio_lstm/bio_lstm_1/{name}")

    content = (files / "whole.h5").read_bytes()
    assert read_weights(edit(content, rename)) == read_weights(content)


@pytest.mark.parametrize(
    ("name", "reason"), [("earliest", "train it again"), ("hard_gates", "hard sigmoids"), ("swapped_merge", "merges")]
)
def test_other_networks_of_the_same_names_are_refused(name: str, reason: str, files: Path) -> None:
    with pytest.raises(InvalidWeights, match=reason):
        read_weights((files / f"{name}.h5").read_bytes())


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ("2.2.4", False),
        ("2.0.8", False),
        ("1.2.2", False),
        ("2.2.4-tf", True),
        ("2.3.1", True),
        ("2.12.0", True),
        (None, True),
    ],
)
def test_lstms_from_before_keras_2_3_are_refused(version: str | None, sound: bool, files: Path) -> None:
    def date(file: h5py.File) -> None:
        del file.attrs["keras_version"]
        if version:
            file.attrs["keras_version"] = np.bytes_(version)

    content = edit((files / "weights.h5").read_bytes(), date)
    if sound:
        assert read_weights(content)
    else:
        with pytest.raises(InvalidWeights, match="hard sigmoids"):
            read_weights(content)


def edit(content: bytes, change: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


KERNEL = "model_weights/output/output/kernel:0"
GROUP = "model_weights/email_lstm"


def replace(path: str, **options: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file.create_dataset(path, **options)

    return change


def link(path: str, target: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.move(path, "elsewhere")
        file[path] = target(file) if callable(target) else target

    return change


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((64, 2), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", (64, 2))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replace(KERNEL, data=np.zeros((2, 64), np.float32)), "shape"),
        (replace(KERNEL, data=np.zeros((64, 2), np.int32)), "plain"),
        (replace(KERNEL, data=np.full((64, 2), np.nan)), "finite"),
        (replace(KERNEL, data=np.full((64, 2), 1e300)), "finite|overflow"),
        (replace(KERNEL, shape=(64, 2), dtype="S8"), "plain"),
        (replace(KERNEL, data=h5py.Empty("f4")), "damaged|shape"),
        (replace(KERNEL, shape=(64, 2), dtype="f4"), "plain"),  # without any storage
        (replace(KERNEL, data=np.zeros((64, 2), np.float32), compression="gzip"), "plain"),
        (replace(KERNEL, shape=(2**20, 2**20), dtype="f4", chunks=(1024, 1024), compression="gzip"), "shape"),
        (replace(KERNEL, shape=(64, 2), dtype="f4", external=[("/etc/passwd", 0, 512)]), "plain"),
        (virtual, "plain"),
        (link(KERNEL, h5py.ExternalLink("/tmp/other.h5", "/x")), "one side only"),
        (link(KERNEL, h5py.SoftLink("/elsewhere")), "one side only"),
        (link("model_weights", h5py.ExternalLink("/tmp/other.h5", "/x")), "one side only"),
        (link(GROUP, lambda file: file["model_weights/website_lstm"]), "one side only"),
        (lambda file: file.move(GROUP, "model_weights/mail_lstm"), "email_lstm/bias, .* on one side only"),
        (lambda file: file.copy(GROUP, "model_weights/other_lstm"), "other_lstm"),
        (lambda file: file.copy(KERNEL, "model_weights/output/twice/kernel:0"), "one side only|twice"),
        (lambda file: file.__delitem__(KERNEL), "output/kernel"),
        (lambda file: file.__delitem__("model_weights"), "not of the original"),
    ],
)
def test_foreign_and_oversized_files_are_refused(change: Callable[[h5py.File], None], reason: str, files: Path) -> None:
    with pytest.raises(InvalidWeights, match=reason):
        read_weights(edit((files / "whole.h5").read_bytes(), change))


def test_truncated_files_are_refused(files: Path) -> None:
    whole = (files / "weights.h5").read_bytes()
    for content in (b"\x89HDF\r\n\x1a\n", b"not HDF5" * 100, *(whole[: len(whole) * part // 8] for part in range(8))):
        with pytest.raises(InvalidWeights):
            read_weights(content)


def test_damaged_files_are_refused_or_harmless(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "_TIME_LIMIT", 5.0)
    whole = (files / "weights.h5").read_bytes()
    generator = random.Random(23)
    for _ in range(10):
        damaged = bytearray(whole)
        for _ in range(8):
            damaged[generator.randrange(4_000)] = generator.randrange(256)
        with contextlib.suppress(InvalidWeights):
            import_weights(bytes(damaged))


def test_a_file_in_which_hdf5_loops_for_ever_is_refused_in_time(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "_TIME_LIMIT", 3.0)
    damaged = bytearray((files / "whole.h5").read_bytes())
    name = b"optimizer_weights"
    # Behind the last name of the group comes the list of free places; now it leads back to itself.
    damaged[damaged.index(name) + 24] = 48
    with pytest.raises(InvalidWeights, match="damaged"):
        import_weights(bytes(damaged))


def test_the_process_that_reads_tells_why_it_refuses(files: Path) -> None:
    with pytest.raises(InvalidWeights, match=r"^The file is not one of Keras 2"):
        import_weights(b"")
    with pytest.raises(InvalidWeights, match=r"^email_embedding/embeddings has the shape \(1024, 256\)"):
        import_weights((files / "earliest.h5").read_bytes())


def test_an_oversized_file_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "MAX_FILE_BYTES", 10)
    with pytest.raises(InvalidWeights, match="at most 10 are read"):
        import_weights(bytes(11))


def test_neither_keras_nor_pickle_is_loaded_for_it() -> None:
    code = "import sys, sb_api.bootstrap.legacy; assert not {'keras', 'tensorflow', 'tf_keras'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Both at once


def call(state: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], env={"SB_API_STATE_DIR": str(state)})


def test_tokenizers_and_weights_come_together_or_not_at_all(files: Path, tmp_path: Path) -> None:
    """Each alone would leave a service that does not start."""
    state = tmp_path / "state"
    pickles = [files / f"{field}.4.pickle" for field in FIELDS]
    alone = call(state, "tokenizers", "import", *pickles)
    assert alone.exit_code == 1
    assert "sb-api migrate BIO EMAIL WEBSITE WEIGHTS" in alone.output
    alone = call(state, "weights", "import", files / "whole.h5")
    assert alone.exit_code == 1
    assert "sb-api migrate BIO EMAIL WEBSITE WEIGHTS" in alone.output
    assert call(state, "migrate", *pickles, files / "earliest.h5").exit_code == 1
    assert call(state, "migrate", *pickles[:2], "/dev/zero", files / "whole.h5").exit_code == 1
    assert [path.name for path in state.iterdir()] in ([], ["run.lock"])
    done = call(state, "migrate", *pickles, files / "whole.h5")
    assert done.exit_code == 0, done.output
    settings = load_settings({}, state_dir=str(state))
    about = WeightsStore.of(settings, "lodbrok").load_current().about
    assert about.version in done.output
    assert about.tokenizers == CLASSIFIERS["lodbrok"].load_vocabularies(settings).fingerprint
    again = call(state, "tokenizers", "import", *pickles)
    assert again.exit_code == 0, "they are those of the weights in use"
