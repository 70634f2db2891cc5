"""Run by test_legacy.py in a process of its own, because tf_keras and Keras 3 do not go together in one.

Writes, with the real Keras 2 code, what the original project would have left behind: three pickled tokenizers and
the network's weights saved both ways, together with what Keras 2 itself makes of some inputs.
"""

import json
import os
import pickle
import random
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tf_keras
from tf_keras import layers
from tf_keras.preprocessing.text import Tokenizer

WORDS = ["Music", "the", "I'm", "Ærø", "İstanbul", "音楽", "don't", "ТАНЦЫ", "SEO", "casino", "www.example.com/a?b=c"]


def make_bios(generator: random.Random, number: int) -> list[str]:
    vocabulary = WORDS + [f"word{i}" for i in range(900)]
    weights = [1 / (rank + 1) for rank in range(len(vocabulary))]
    separators = [" ", " ", " ", ", ", "\n", "\t", "  ", ". ", "! (", "_"]
    return [
        "".join(
            word + generator.choice(separators)
            for word in generator.choices(vocabulary, weights, k=generator.randrange(0, 60))
        )
        for _ in range(number)
    ]


def make_tokenizers(folder: Path) -> None:
    generator = random.Random(20)
    hosts = [f"host-{i}.example.{end}" for i in range(700) for end in ("com", "org")]
    popular = [1 / (rank + 1) for rank in range(len(hosts))]
    texts = {
        "bio": make_bios(generator, 3000),
        "email": generator.choices(hosts, popular, k=20_000),
        "website": [host.upper() for host in generator.choices(hosts[::-1], popular, k=20_000)],
    }
    tokenizers = {
        "bio": Tokenizer(num_words=512),
        "email": Tokenizer(num_words=1023, filters=""),
        "website": Tokenizer(num_words=1022, filters=""),
    }
    for name, tokenizer in tokenizers.items():
        tokenizer.fit_on_texts(texts[name])
        assert len(tokenizer.word_index) > tokenizer.num_words
        for protocol in range(2, 6):
            (folder / f"{name}.{protocol}.pickle").write_bytes(pickle.dumps(tokenizer, protocol))
    bios = [*make_bios(generator, 200), "", "nothing known here", "the " * 40]
    (folder / "bios.json").write_text(json.dumps(bios))
    (folder / "hosts.json").write_text(json.dumps(hosts))
    np.savez(
        folder / "tokenized.npz",
        bio=tokenizers["bio"].texts_to_matrix(bios, mode="tfidf"),
        **{
            name: [(tokenizers[name].texts_to_sequences([host])[0] or [0])[0] for host in hosts]
            for name in ("email", "website")
        },
    )


def make_network(rows: int = 1025, gates: str = "sigmoid", swapped: bool = False) -> tf_keras.Model:
    main = layers.Input((9,), name="main_input")
    email = layers.Input((1,), dtype="int32", name="email_input")
    website = layers.Input((1,), dtype="int32", name="website_input")
    bio = layers.Input((512,), name="bio_input")
    email_rows = layers.Embedding(rows, 256, input_length=1, name="email_embedding")(email)
    website_rows = layers.Embedding(rows, 256, input_length=1, name="website_embedding")(website)
    states = [
        layers.LSTM(32, recurrent_activation=gates, name="website_lstm")(website_rows),
        layers.LSTM(32, recurrent_activation=gates, name="email_lstm")(email_rows),
        layers.LSTM(64, recurrent_activation=gates, name="bio_lstm")(layers.Reshape((1, 512), name="bio_reshape")(bio)),
    ]
    if swapped:
        states[:2] = states[1::-1]
    x = layers.Dropout(0.5, name="dropout_1")(layers.concatenate([*states, main], name="merge"))
    x = layers.Dropout(0.5, name="dropout_2")(layers.Dense(64, activation="tanh", name="dense_1")(x))
    x = layers.Dense(64, activation="tanh", name="dense_2")(x)
    model = tf_keras.Model([main, website, email, bio], layers.Dense(2, activation="softmax", name="output")(x))
    model.compile("adam", "mse", metrics=["acc"], run_eagerly=True)  # two steps are not worth a trace
    return model


def make_weights(folder: Path) -> None:
    generator = np.random.default_rng(21)
    model = make_network()
    # Nothing is left at zero or one, so that a gate or a bias in the wrong place shows.
    model.set_weights([generator.normal(0, 0.3, array.shape) for array in model.get_weights()])
    inputs = {
        "main_input": generator.normal(0, 1, (64, 9)).astype(np.float32),
        "email_input": generator.integers(1, 1025, (64, 1)).astype(np.int32),
        "website_input": generator.integers(1, 1025, (64, 1)).astype(np.int32),
        "bio_input": generator.normal(0, 1, (64, 512)).astype(np.float32),
    }
    targets = np.eye(2)[generator.integers(0, 2, 64)]
    model.fit(inputs, targets, batch_size=32, verbose=0)  # so that the file holds an optimizer's state, as the original
    model.save(folder / "whole.h5")
    model.save_weights(folder / "weights.h5")
    np.savez(folder / "predicted.npz", probabilities=model(inputs, training=False).numpy(), **inputs)
    make_network(rows=1024).save(folder / "earliest.h5")
    make_network(gates="hard_sigmoid").save(folder / "hard_gates.h5")
    make_network(swapped=True).save(folder / "swapped_merge.h5")


if __name__ == "__main__":
    make_tokenizers(Path(sys.argv[1]))
    make_weights(Path(sys.argv[1]))
