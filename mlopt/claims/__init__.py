"""What mlopt states of an artifact: how it was made, what its gates said and what was measured. No keys here.

``bom`` renders the bill of materials, which is a file of the artifact and not a claim about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlopt.artifact.claims import PREDICATES, attach, statement
from mlopt.artifact.files import read_capped
from mlopt.artifact.layout import CLAIMS, SIGNATURE
from mlopt.artifact.sign import Digests, digest
from mlopt.artifact.signing import bundle
from mlopt.artifact.verify import MAX_SIGNATURE_BYTES
from mlopt.claims import benchmark, provenance, test_result
from mlopt.claims.facts import read

if TYPE_CHECKING:
    from mlopt.artifact.signing.signers import Signer

_MAKERS = {"provenance": provenance, "test-result": test_result, "benchmark": benchmark}


def statements(directory: Path, digests: Digests | None = None) -> dict[str, bytes]:
    """Return the bare in-toto statements about an artifact, by the names in ``PREDICATES``; none if it has no recipe.

    ``digests`` are those of a signature that holds; without them nothing is known of the files but that they fit
    together. Raises ``IntegrityError`` when one of them has another digest, or is malformed.
    """
    facts = read(directory, digests or digest(directory))
    if facts is None:
        return {}
    name, of = facts.manifest.name, facts.digests
    return {
        key: statement(name, of.root, of.files, PREDICATES[key], maker.predicate(facts))
        for key, maker in _MAKERS.items()
    }


def attest(directory: Path, signer: Signer, digests: Digests | None = None) -> Path | None:
    """Sign the statements into ``claims.jsonl``, in place of what this signer stated before, and return its path.

    ``digests`` are by default those in ``model.sig``, which the caller has just made. None is returned if there is
    nothing to state; then a file that is there is removed, since it was about something else.
    """
    made = statements(directory, digests or _signed(directory))
    if not made:
        (directory / CLAIMS).unlink(missing_ok=True)
        return None
    return attach(directory, tuple(made.values()), signer)


def _signed(directory: Path) -> Digests:
    where = str(directory / SIGNATURE)
    envelope = bundle.unpack(read_capped(directory, SIGNATURE, MAX_SIGNATURE_BYTES), where)
    files = bundle.signed_files(envelope.payload, where)
    return Digests(bundle.root_digest(files), files)
