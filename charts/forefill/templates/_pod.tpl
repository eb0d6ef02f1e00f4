{{/* What the pods of operator and injector have in common. `root`, `component`, `values`. */}}

{{- define "forefill.podMetadata" -}}
labels:
  {{- include "forefill.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "forefill.placement" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $labels := include "forefill.selectorLabels" . | fromYaml }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
- {{ toYaml (merge (dict) . (dict "labelSelector" (dict "matchLabels" $labels))) | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "forefill.podSecurityContext" -}}
runAsGroup: 65532
runAsNonRoot: true
runAsUser: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "forefill.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{/* A loop that is stuck is started again; a pod that is not ready gets no connections. */}}
{{- define "forefill.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 1
  failureThreshold: 120
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 2
  timeoutSeconds: 2
{{- end -}}

{{- define "forefill.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include (printf "forefill.%s" .component) .root }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "forefill.labels" . | nindent 4 }}
  {{- with .root.Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Named one by one, so that the pod waits until they have been made. */}}
{{- define "forefill.mountedCertificate" -}}
secret:
  secretName: {{ . }}
  items:
  - {key: tls.crt, path: tls.crt}
  - {key: tls.key, path: tls.key}
  - {key: ca.crt, path: ca.crt}
{{- end -}}
