# Calls one method of the client that users would import: URL METHOD, and the arguments
# as JSON on standard input. Prints what it returns.
import json
import sys

from kafka_connect import KafkaConnect

url, method = sys.argv[1:]
print(json.dumps(getattr(KafkaConnect(url), method)(**json.load(sys.stdin))))
