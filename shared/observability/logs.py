"""Logs: JSON lines on standard error, by structlog. Nothing secret is ever logged."""

import logging
import sys

import structlog


def configure_logs(duty: str, *, level: int = logging.INFO) -> None:
    """Send our own log lines and those of libraries, as JSON, to standard error."""

    def name_duty(_: object, __: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
        return {"duty": duty, **line}  # not a context variable: a library's own thread would not have it

    shared: list[structlog.types.Processor] = [
        name_duty,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.dict_tracebacks,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "aiormq", "aio_pika", "pymongo", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
