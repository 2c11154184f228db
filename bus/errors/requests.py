"""What is wrong with a request: its form, who makes it, or what it names."""

from __future__ import annotations

from bus.errors.base import BusError


class BadRequest(BusError):
    code, status = "bad_request", 400
    hint = "See /docs for the form of each request."


class BadJson(BadRequest):
    code = "bad_json"
    hint = (
        "Send one strict JSON object in UTF-8: no duplicate keys, no NaN, at most 16 levels deep."
    )


class BadBrief(BadRequest):
    code = "bad_brief"
    hint = "Front matter is YAML between two lines `---`; `line` says where it is wrong."


class UnknownField(BadRequest):
    code = "unknown_field"


class BadField(BadRequest):
    code = "bad_field"


class MissingField(BadRequest):
    code = "missing_field"


class Unauthorized(BusError):
    code, status = "unauthorized", 401
    hint = 'Use HTTP basic auth: curl -u "$BUS_USER:$BUS_PASS" …'


class Forbidden(BusError):
    code, status = "forbidden", 403
    hint = "This is not for your credential: use one that may, or ask an admin."


class ForeignOrigin(Forbidden):
    code = "foreign_origin"
    hint = "Calls that change something are not taken from web pages of another origin."


class NotAllowed(Forbidden):
    code = "not_allowed"
    hint = (
        "GET /openapi.json says who may call each route; an admin can add a credential with the"
        " role that is needed."
    )


class NotYourName(Forbidden):
    code = "not_your_name"
    hint = (
        "Leave the name out, or give your own: the credential's, or one of its sessions"
        " (name/session)."
    )


class NotYourMessage(Forbidden):
    code = "not_your_message"
    hint = "Only the credential that posted a message retracts or replaces it, under the same name."


class NotYourAction(Forbidden):
    code = "not_your_action"
    hint = "Who has it, who asked it, and admins change an action."


class NotAsked(Forbidden):
    code = "not_asked"
    hint = "Only those in `to` answer: give the name, or the session, that was asked, in `from`."


class NotPermitted(Forbidden):
    code = "not_permitted"
    hint = (
        "An admin can grant it: bus permit SOURCE TARGET. GET /api/permissions/check says which"
        " rule decides."
    )


class ApprovalDenied(Forbidden):
    code = "approval_denied"
    hint = "An admin has refused this very call. Ask for another, or ask them."


class ApprovalRequired(BusError):
    code, status = "approval_required", 202
    hint = (
        "Nothing was done. GET /api/approvals/<id>?wait=60 says when it is answered; then make the"
        " same call again."
    )


class NotFound(BusError):
    code, status = "not_found", 404
    hint = "Give the id or seq of a message that the hub has sent you."


class UnknownTarget(NotFound):
    code = "unknown_target"
    hint = "GET /api/machines lists the targets."


class NoSuchCall(NotFound):
    code = "no_such_call"
    hint = (
        "Give the id that the answer to the call has. Only its caller, its target and admins can"
        " ask for it."
    )


class NoSuchApproval(NotFound):
    code = "no_such_approval"
    hint = "GET /api/approvals lists those that you may see."


class NoSuchCredential(NotFound):
    code = "no_such_credential"
    hint = "GET /api/credentials lists the names."


class NoSuchAgent(NotFound):
    code = "no_such_agent"
    hint = "GET /agents lists the agents; POST /agents registers one."


class NoSuchAsk(NotFound):
    code = "no_such_ask"
    hint = "GET /asks lists them. POST /ask asks; a message of POST /post is no ask."


class NoSuchAction(NotFound):
    code = "no_such_action"
    hint = "GET /actions lists those that are not closed; status=all lists all."


class NoSuchBrief(NotFound):
    code = "no_such_brief"
    hint = "GET /briefs lists them. GET /messages/<ref> gives any message."


class NoSuchRole(NotFound):
    code = "no_such_role"
    hint = "GET /roles lists the roles; POST /roles/<role>/claim makes one."


class NoSuchWebhook(NotFound):
    code = "no_such_webhook"
    hint = "GET /webhooks lists yours."


class NoSuchNotice(NotFound):
    code = "no_such_notice"
    hint = "GET /notices lists those that are kept."


class NoSuchExpectation(NotFound):
    code = "no_such_expectation"
    hint = "GET /expect lists yours."


class NoSuchFileLease(NotFound):
    code = "no_such_lease"
    hint = "GET /leases lists those that hold; POST /leases takes one."


class UnknownRecipient(NotFound):
    code = "unknown_recipient"
    hint = "`near` has known names like it. Without `strict`, the message would wait for the name."


class NoSuchFile(NotFound):
    code = "no_such_file"
    hint = "Paths are those inside the target, absolute."


class NoSuchAttachment(NotFound):
    code = "no_such_attachment"
    hint = "Take the id from `attachments` of a message that you may read."


class NoSuchUpload(NotFound):
    code = "no_such_upload"
    hint = "POST /uploads begins one. It belongs to the credential that began it, until posted."


class NoSuchSnapshot(NotFound):
    code = "no_such_snapshot"
    hint = "GET /api/container/snapshots?name=NAME lists the snapshots of a container."


class NoSuchRoute(BusError):
    code, status = "no_such_route", 404
    hint = "GET /openapi.json lists every route."


class MethodNotAllowed(BusError):
    code, status = "method_not_allowed", 405
    hint = "GET /openapi.json lists every route with its methods."


class TooSlow(BusError):
    code, status = "too_slow", 408
    hint = (
        "Send the whole body at once: at most a minute between two parts of it, and three minutes"
        " in all."
    )


class NoSuchRange(BusError):
    code, status = "no_such_range", 416
    hint = "`size` says how many bytes there are; leave Range out for all of them."


class TooLarge(BusError):
    code, status = "too_large", 413
    hint = "Send less, or put the large part where the reader can fetch it and post a pointer."


class UnsupportedMedia(BusError):
    code, status = "unsupported_media", 415
    hint = "Send JSON, NDJSON, a form, or text with the fields as query parameters; uncompressed."


class SumDiffers(BusError):
    code, status = "sum_differs", 422
    hint = "What arrived is not what was meant, so it is not kept. Send the file again, whole."


class KeyReused(BusError):
    code, status = "key_reused", 422
    hint = (
        "Use a new idempotency key for new content; repeat a key only to repeat the same request."
    )


class UnknownReply(BusError):
    code, status = "unknown_reply", 422
    hint = "in_reply_to is the id or seq of an existing message."


def no_target(name: str, is_member: bool) -> str:
    """Return that a name is no target, for those who may know it; a member's is the common
    mistake.
    """
    return (
        f"{name} is a member, but no target: add it to targets.toml."
        if is_member
        else f"There is no target {name}."
    )
