"""One package per risk: what is measured, its tables, its chapters.

`RISKS` lists them in the order of the page.
"""

from pipeline.risks.evasion.risk import RISK as EVASION
from pipeline.risks.federation.risk import RISK as FEDERATION
from pipeline.risks.forgery.risk import RISK as FORGERY
from pipeline.risks.frontier.risk import RISK as FRONTIER
from pipeline.risks.guard.risk import RISK as GUARD
from pipeline.risks.inversion.risk import RISK as INVERSION
from pipeline.risks.membership.risk import RISK as MEMBERSHIP
from pipeline.risks.poisoning.risk import RISK as POISONING
from pipeline.risks.risk import Risk
from pipeline.risks.safeguards.risk import RISK as SAFEGUARDS
from pipeline.risks.theft.risk import RISK as THEFT
from pipeline.risks.transport.risk import RISK as TRANSPORT

RISKS: tuple[Risk, ...] = (
    EVASION,
    FORGERY,
    SAFEGUARDS,
    GUARD,
    MEMBERSHIP,
    INVERSION,
    FRONTIER,
    POISONING,
    THEFT,
    TRANSPORT,
    FEDERATION,
)
