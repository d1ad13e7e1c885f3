{{- define "floe.name" -}}
{{- if contains "floe" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-floe" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "floe.selector" -}}
app.kubernetes.io/name: floe
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "floe.labels" -}}
{{ include "floe.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "floe.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "floe.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "floe.advertise" -}}
{{- .Values.advertise | default (printf "%s.%s.svc:%d" (include "floe.name" .) .Release.Namespace (int .Values.service.port)) }}
{{- end }}

{{/* Most brokers that there may be. */}}
{{- define "floe.most" -}}
{{- if .Values.autoscaling.hpa.enabled }}{{ .Values.autoscaling.hpa.maxReplicas }}{{ else if .Values.autoscaling.keda.enabled }}{{ .Values.autoscaling.keda.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "floe.check" -}}
{{- if not .Values.acceptNoSecurity }}{{ fail "acceptNoSecurity: brokers have neither encryption nor authentication yet; set it to true if whoever reaches them may read, write and delete everything" }}{{ end }}
{{- if and (gt (int .Values.replicas) 1) (not .Values.cluster.enabled) }}{{ fail "replicas: more than one need cluster.enabled; two single brokers on one store would depose each other" }}{{ end }}
{{- if and .Values.cluster.enabled (not .Values.cluster.etcd) }}{{ fail "cluster.etcd: a cluster needs an etcd that is there" }}{{ end }}
{{- if and .Values.cluster.enabled .Values.advertise }}{{ fail "advertise: in a cluster each broker tells its own name" }}{{ end }}
{{- if and .Values.external.enabled (not .Values.cluster.enabled) }}{{ fail "external: a single broker is reached from outside by service.type and advertise" }}{{ end }}
{{- if and .Values.external.enabled (not (contains "$(POD_INDEX)" .Values.external.host)) }}{{ fail "external.host: a name with $(POD_INDEX) in it, which is another one for each broker" }}{{ end }}
{{- if and .Values.autoscaling.hpa.enabled .Values.autoscaling.keda.enabled }}{{ fail "autoscaling: hpa or keda, not both" }}{{ end }}
{{- if and .Values.autoscaling.hpa.enabled (not .Values.cluster.enabled) }}{{ fail "autoscaling.hpa: needs cluster.enabled" }}{{ end }}
{{- if and .Values.autoscaling.keda.enabled (gt (int .Values.autoscaling.keda.maxReplicas) 1) (not .Values.cluster.enabled) }}{{ fail "autoscaling.keda.maxReplicas: more than 1 needs cluster.enabled" }}{{ end }}
{{- if and .Values.autoscaling.keda.enabled (not .Values.autoscaling.keda.triggers) }}{{ fail "autoscaling.keda.triggers: at least one" }}{{ end }}
{{- range $key := list "store" "data" "listen" "advertise" "admin" "insecure" "broker.id" "s3.endpoint" "s3.region" "s3.access.key.id" "s3.secret.access.key" "s3.session.token" }}
{{- if hasKey $.Values.settings $key }}{{ fail (printf "settings: %s comes from a value of its own" $key) }}{{ end }}
{{- end }}
{{- end }}
