// A real identity provider for tests: people who sign in by name alone, groups, clients of every kind, back-channel logout.
// Beside it, on the same port, /control changes what it says, so that a test can ask what a dishonest or broken one would do.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';
import { SignJWT, UnsecuredJWT, decodeJwt, decodeProtectedHeader, importJWK } from 'jose';

const [port, app, clientKeys, people] = [Number(process.argv[2]), process.argv[3], JSON.parse(process.argv[4]), JSON.parse(process.argv[5])];
const issuer = `http://127.0.0.1:${port}`;
const pair = (kid, kind) => ({ ...generateKeyPairSync(...kind).privateKey.export({ format: 'jwk' }), kid, use: 'sig' });
const EC = ['ec', { namedCurve: 'P-256' }], RSA = ['rsa', { modulusLength: 2048 }];
const keys = { ec: pair('ec', EC), rsa: pair('rsa', RSA), next: pair('next', EC), stranger: pair('ec', EC) };
const secret = 'a secret of + 32 bytes % or more 0000';
const client = (id, more) => ({
  client_id: id, client_secret: secret, redirect_uris: [`${app}/callback`], post_logout_redirect_uris: [app.replace('/sign-in', '') + '/signed-out'],
  backchannel_logout_uri: `${app}/back-channel`, backchannel_logout_session_required: true, id_token_signed_response_alg: 'ES256', ...more,
});
const op = new Provider(issuer, {
  clients: [
    client('ipt'),
    client('ehr', { redirect_uris: [`${app.replace('/sign-in', '')}/launch/callback`], scope: 'openid fhirUser launch', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES384', jwks: clientKeys, client_secret: undefined }),
    client('ehr-basic', { redirect_uris: [`${app.replace('/sign-in', '')}/launch/callback`], scope: 'openid fhirUser launch' }),
    client('ipt-rs256', { id_token_signed_response_alg: 'RS256' }),
    client('ipt-jwt', { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: clientKeys, client_secret: undefined }),
  ],
  jwks: { keys: [keys.ec, keys.rsa] },
  fetch: (url, { dispatcher, ...rest }) => globalThis.fetch(url, rest), // it refuses loopback otherwise
  cookies: { keys: ['x'] },
  scopes: ['openid', 'offline_access', 'fhirUser', 'launch'],
  extraParams: ['launch', 'aud'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'ES384', 'HS256'] },
  claims: { openid: ['fhirUser', 'sub', 'sid', 'groups', 'staff', 'realm_access'], profile: ['name'] },
  conformIdTokenClaims: false,
  acrValues: ['urn:strong'],
  features: { backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
});
process.stdin.resume().on('end', () => process.exit()); // it ends with the test that started it
let said = {}; // what the provider says otherwise than it would
const sign = ({ claims, header, key = 'ec' }) => {
  if (header?.alg === 'none') return new UnsecuredJWT(claims).encode();
  return importJWK(keys[key], header?.alg ?? 'ES256').then((it) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: keys[key].kid, ...header }).sign(it));
};
op.use(async (ctx, next) => {
  await next();
  const route = ctx.oidc?.route;
  if (route === 'jwks' && said.keys) ctx.body = { keys: said.keys.map((each) => { const { d, p, q, dp, dq, qi, ...pub } = keys[each]; return pub; }) };
  if (route === 'discovery' && said.description) ctx.body = { ...ctx.body, ...said.description };
  if (route === 'token' && ctx.body?.id_token && said.token) {
    const claims = { ...decodeJwt(ctx.body.id_token), ...said.token.claims };
    for (const each of said.token.without ?? []) delete claims[each];
    ctx.body = { ...ctx.body, id_token: await sign({ claims, header: { ...decodeProtectedHeader(ctx.body.id_token), kid: keys[said.token.key ?? 'ec'].kid, ...said.token.header }, key: said.token.key }) };
  }
  if (route === 'token' && ctx.body?.id_token && ctx.oidc.client.clientId.startsWith('ehr')) ctx.body = { ...ctx.body, patient: 'P-1', encounter: 'E-1', need_patient_banner: false, ...said.context };
  if (route === 'token' && said.body) ctx.body = said.body;
});
const calls = {};
createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (!path.startsWith('/control')) {
    calls[path] = (calls[path] ?? 0) + 1;
    if (path.endsWith('/.well-known/smart-configuration')) { // as an EHR, whose sign-in this provider is
      response.writeHead(said.status ?? 200).end(JSON.stringify({ issuer, jwks_uri: `${issuer}/jwks`, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, code_challenge_methods_supported: ['S256'], capabilities: ['launch-ehr', 'sso-openid-connect', 'context-ehr-patient'], ...said.smart }));
      return;
    }
    op.callback()(request, response);
    return;
  }
  let body = '';
  request.on('data', (piece) => { body += piece; });
  request.on('end', async () => {
    const sent = body ? JSON.parse(body) : {};
    if (path === '/control/say') said = sent;
    response.end(JSON.stringify(path === '/control/sign' ? await sign(sent) : calls));
  });
}).listen(port, '127.0.0.1', () => console.log('up'));
for (const name of ['server_error', 'authorization.error', 'grant.error', 'backchannel.error']) op.on(name, (...all) => console.log(name, ...all.map((each) => each?.error_description ?? each?.message ?? '')));
