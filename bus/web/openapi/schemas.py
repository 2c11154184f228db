"""The components of the document: every shape of a message or an answer, by its name."""

from __future__ import annotations

from bus.errors import family
from bus.model import (
    acks,
    action_mark,
    actions,
    activity,
    agents,
    approvals,
    asked,
    asks,
    attached,
    attachments,
    brief_mark,
    briefs,
    calls,
    checkup,
    cited,
    credentials,
    delivery,
    digest,
    expectations,
    figures,
    file_leases,
    inbox,
    messages,
    notices,
    permissions,
    roles,
    signatures,
    stars,
    topics,
    tracking,
    webhooks,
)
from bus.model.answer import Error, schema
from bus.model.health import Health
from bus.model.messages import Draft
from bus.model.shape import Json

_ANSWERS = (
    *(messages.Message, delivery.Standing, delivery.Recipient, messages.Page, Health),
    *(attached.Attachment, attachments.Upload, attachments.UploadGone),
    *(messages.GivenTo, messages.Forwarded, cited.Cited),
    *(inbox.Inbox, inbox.ShownStub, acks.Acked, acks.Receipt, acks.Receipts, stars.Starred),
    *(agents.Agent, agents.Transport, agents.Roster, agents.OneAgent, agents.Registered),
    *(agents.Alive, agents.Left),
    *(roles.Role, roles.Roles, roles.OneRole),
    *(topics.Topic, topics.Subscribed, topics.Topics, topics.SubscriptionChanged),
    *(tracking.Retracted, tracking.Late, tracking.Overdue, tracking.Step, tracking.Trace),
    *(asked.Asked, asked.AnswerMark, asks.OneAnswer, asks.Decline, asks.Ask),
    *(asks.OneAsk, asks.Asks),
    *(brief_mark.BriefMark, brief_mark.BriefAction, briefs.PostedBrief, briefs.Thread),
    *(signatures.Signature,),
    *(action_mark.ActionMark, actions.Action, actions.ActionChange, actions.OneAction),
    *(actions.Actions, digest.Digest, digest.DigestItem),
    *(checkup.Checkup, checkup.ActionOfGone, checkup.OpenQuestion, checkup.StoppedReader),
    *(checkup.OldMail, checkup.Load),
    *(calls.Ran, calls.File, calls.Acted, calls.Snapshot, calls.Snapshots),
    *(permissions.Permission, permissions.Permitted, permissions.Permissions, permissions.Decided),
    *(approvals.Approval, approvals.OneApproval, approvals.Approvals),
    *(activity.Event, activity.Feed, activity.Machine, activity.Machines),
    *(activity.Container, activity.Containers),
    *(credentials.Me, credentials.Granted, credentials.Listing, credentials.Entry),
    *(credentials.Quotas, credentials.OpenInvite, credentials.Invite, credentials.Revoked),
    *(webhooks.Answer, webhooks.Webhook, webhooks.Webhooks, webhooks.WebhookAdded),
    *(notices.ShownNotice, notices.ServiceState, notices.Process, notices.Notices),
    notices.OneNotice,
    *(webhooks.WebhookRemoved, webhooks.WebhookTested, webhooks.WebhookReplayed),
    *(file_leases.FileLease, file_leases.OneFileLease, file_leases.FileLeases),
    *(figures.Figures, figures.WebFigures, figures.RouteFigures, figures.Timing),
    *(figures.CallFigures, figures.ReaderFigures, figures.WebhookFigures),
    *(file_leases.HeldPath, file_leases.FilesChecked),
    *(expectations.Expectation, expectations.OneExpectation, expectations.ExpectationSet),
    expectations.Expectations,
)


def schemas() -> Json:
    """Return the schema of each shape by its name."""
    error = schema(Error)
    error["properties"]["error"] = {"enum": sorted({kind.code for kind in family()})}
    requests = {
        "Draft": Draft.schema(),
        "Form": Draft.form_schema(),
        "FilesForm": attachments.form_schema(),
        "UploadsToPost": attachments.uploads_schema(),
    }
    return {**requests, **{kind.__name__: schema(kind) for kind in _ANSWERS}, "Error": error}
