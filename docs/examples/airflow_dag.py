"""A DAG for Apache Airflow with the Amazon provider: run a job after the batch it reads is there."""

from datetime import datetime

from airflow import DAG
from airflow.providers.amazon.aws.operators.glue import GlueJobOperator
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor

BUCKET = "my-connector-bucket"

with DAG("recsync", start_date=datetime(2026, 1, 1), schedule="0 5 * * *", catchup=False):
    batch_is_done = S3KeySensor(
        task_id="batch_is_done",
        bucket_name="my-batch-bucket",
        bucket_key="batch/shop/for-you/batch_for-you_{{ ds | replace('-', '_') }}_*/*.out",
        wildcard_match=True,
    )
    run = GlueJobOperator(
        task_id="run",
        job_name="recsync-user_personalization",
        script_args={"--S3_JOB_PATH": f"s3://{BUCKET}/etl_jobs/user_personalization/for_you/"},
        retries=0,  # a run that a guard held would be held again
    )
    batch_is_done >> run
