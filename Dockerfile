# evalkit with judges, Parquet and reports, without torch:
#   docker build -t evalkit .
#   docker run --rm -v "$PWD:/work" -u "$(id -u):$(id -g)" evalkit score --pred plans --gold references --out run
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir 'hatchling>=1.27' && python -m hatchling build -t wheel -d /wheels

FROM python:3.12-slim
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir -c /wheels/constraints.txt "$(echo /wheels/*.whl)[judge,parquet,report]" \
    && rm -r /wheels && mkdir -m 1777 /cache /work
ENV XDG_CACHE_HOME=/cache
USER nobody
WORKDIR /work
ENTRYPOINT ["evalkit"]
CMD ["--help"]
