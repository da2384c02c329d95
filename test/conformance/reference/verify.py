# Prints whether the reference library accepts each request of the file, a line each.
import base64
import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for question in json.load(open(sys.argv[1])):
    try:
        Webhook(question["secret"]).verify(base64.b64decode(question["body"]), question["headers"], json_parse=False)
        print("true")
    except WebhookVerificationError:
        print("false")
