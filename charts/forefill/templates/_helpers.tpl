{{- define "forefill.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough that every suffix fits into a name of 63 characters. */}}
{{- define "forefill.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "forefill.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "forefill.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Objects without a namespace are named after the release's, too: two releases don't share them. */}}
{{- define "forefill.clustername" -}}
{{- printf "%s-%s" .Release.Namespace (include "forefill.fullname" .) -}}
{{- end -}}

{{- define "forefill.selectorLabels" -}}
app.kubernetes.io/name: {{ include "forefill.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "forefill.labels" -}}
{{ include "forefill.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: forefill
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "forefill.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{- define "forefill.authoritySecret" -}}{{ include "forefill.fullname" . }}-ca{{- end -}}
{{- define "forefill.ticketSecret" -}}{{ include "forefill.fullname" . }}-tickets{{- end -}}
{{- define "forefill.operatorSecret" -}}{{ include "forefill.fullname" . }}-operator-tls{{- end -}}
{{- define "forefill.injectorSecret" -}}{{ include "forefill.fullname" . }}-injector-tls{{- end -}}
{{- define "forefill.operator" -}}{{ include "forefill.fullname" . }}-operator{{- end -}}
{{- define "forefill.injector" -}}{{ include "forefill.fullname" . }}-injector{{- end -}}
{{- define "forefill.loadSources" -}}{{ include "forefill.fullname" . }}-load-sources{{- end -}}
