"""DynamoDB's limits (developer guide, "Quotas")."""

from __future__ import annotations

ITEM_BYTES_MAX = 400 * 1024
COLLECTION_BYTES_MAX = 10 * 1024**3  # what a partition key has in a table with local indexes, entries included
PARTITION_KEY_BYTES_MAX = 2048
SORT_KEY_BYTES_MAX = 1024
ATTRIBUTE_NAME_BYTES_MAX = 65_535
KEY_NAME_BYTES_MAX = 255
NESTING_MAX = 32
NUMBER_DIGITS_MAX = 38
NUMBER_MAGNITUDE_MAX = 125
NUMBER_MAGNITUDE_MIN = -130
TABLE_NAME_LENGTH_MIN = 3
TABLE_NAME_LENGTH_MAX = 255
TABLE_ARN_LENGTH_MAX = 1024
BATCH_GET_KEYS_MAX = 100
BATCH_WRITE_REQUESTS_MAX = 25
TRANSACTION_ITEMS_MAX = 100
TRANSACTION_BYTES_MAX = 4 * 1024 * 1024  # of its items together
CLIENT_TOKEN_LENGTH_MAX = 36
REQUEST_BYTES_MAX = 16 * 1024 * 1024
PAGE_BYTES_MAX = 1024 * 1024
LIST_TABLES_MAX = 100
LIST_STREAMS_MAX = 100
DESCRIBE_SHARDS_MAX = 100
STREAM_RECORDS_MAX = 1000  # of one GetRecords
ITERATOR_AGE_MS_MAX = 15 * 60 * 1000
LOCAL_INDEXES_MAX = 5
GLOBAL_INDEXES_MAX = 20
HASHED_KEYS_MAX = 4  # attributes in the key of a global index that are hashed together
ORDERING_KEYS_MAX = 4  # those that its entries are ordered by
INDEX_KEYS_MAX = HASHED_KEYS_MAX + ORDERING_KEYS_MAX
NON_KEY_ATTRIBUTES_MAX = 20  # of one index
PROJECTED_ATTRIBUTES_MAX = 100  # non-key attributes of all indexes of a table together
TAGS_MAX = 50
TAG_KEY_LENGTH_MAX = 128
TAG_VALUE_LENGTH_MAX = 256
CAPACITY_UNITS_MAX = 1_000_000_000_000  # that a request may name at all
WARM_READ_UNITS_MIN = 12_000  # of an on-demand table
WARM_WRITE_UNITS_MIN = 4_000
ACCOUNT_CAPACITY_UNITS = 80_000  # initial quotas, of reads and of writes: told, and not enforced
TABLE_CAPACITY_UNITS = 40_000
PARTITIONS_MAX = 256
STREAMS_MAX = 100  # of a table, with those that are disabled and still kept
USERS_MAX = 1_000
PARTITION_RCU_MAX = 3_000
PARTITION_WCU_MAX = 1_000
EXPRESSION_BYTES_MAX = 4096
EXPRESSION_OPERATORS_MAX = 300
EXPRESSION_TOKEN_BYTES_MAX = 255
EXPRESSION_IN_OPERANDS_MAX = 100
EXPRESSION_SUBSTITUTIONS_BYTES_MAX = 2 * 1024 * 1024

WRITE_AGE_S_MAX = 8.0
"""A write is carried out no later than this after its client may have sent it first. Less than partitions remember the
tokens of writes (storage_node/partition/recent_writes.py): what is carried out has not been, as a retry of itself."""
