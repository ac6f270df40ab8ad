"""What the optional packages of the extra `faces` bring, found without importing them.

`face_recognition_models` would import pkg_resources and `mtcnn` TensorFlow; of both, only data
files are wanted.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.faces.face import FaceProvider
from hmrm_lab.registry import providers


def file_of_package(package: str, file: str) -> Path:
    """A data file of an installed package.

    Raises
    ------
    InputError
        If the package is not installed, or has no such file.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise not_installed(package)
    path = Path(next(iter(spec.submodule_search_locations))) / file
    if not path.is_file():
        raise InputError(
            f"the installed package '{package}' has no such file",
            where=path,
            mend="install the version that constraints.txt names",
        )
    return path


def not_installed(package: str) -> InputError:
    """The error for a package of the extra that is missing."""
    return InputError(
        f"the package '{package}' is not installed", mend="pip install 'hmrm-lab[faces]'"
    )


def installed_providers(names: Iterable[str]) -> tuple[dict[str, FaceProvider], dict[str, str]]:
    """Those of these providers that can be built here, and why the others cannot.

    Raises
    ------
    ConfigError
        If a name is not that of a provider, or a provider cannot be built without options.
    InputError
        If not one of them can be built here.
    """
    built: dict[str, FaceProvider] = {}
    lacking: dict[str, str] = {}
    for name in names:
        entry = providers[name]
        try:
            built[name] = entry.build()
        except ConfigError:
            raise
        except InputError as error:
            lacking[name] = str(error)
    if not built:
        raise InputError(
            " and ".join(["no face provider", *lacking.values()]), mend="or add 'template'"
        )
    return built, lacking
