"""The two slow jobs themselves."""

from services.issuer.making.jobs import JOBS, Answer, MakeJob, PackJob
from services.issuer.making.ports import Made
from shared.errors import RefusedError
from shared.password import Password
from shared.x509 import pkcs12
from shared.x509.keypairs import decrypted_pkcs8, encrypted_pkcs8, generate, public_key_der, request_for


def answer(asked: bytes) -> bytes:
    """Do the job that is asked for, and say what became of it; nothing of its content gets into an error."""
    try:
        done = _do(JOBS.validate_json(asked))
    except RefusedError as refused:
        done = Answer(findings=refused.findings)
    except Exception as error:  # noqa: BLE001 - the other end raises it
        done = Answer(bug=type(error).__name__)
    return done.model_dump_json().encode()


def _do(job: MakeJob | PackJob) -> Answer:
    match job:
        case MakeJob():
            return Answer(made=_make(job))
        case PackJob():
            return Answer(packed=_pack(job))


def _make(job: MakeJob) -> Made:
    key = generate(job.key_type)
    csr = request_for(key, job.subject, job.names, job.extensions)
    return Made(encrypted_pkcs8(key, Password(job.password)), csr, public_key_der(key))


def _pack(job: PackJob) -> bytes:
    password = Password(job.password)
    key = decrypted_pkcs8(job.pkcs8, password)
    return pkcs12.build(key, job.leaf, job.chain, password, friendly_name=job.friendly_name, encryption=job.encryption)
