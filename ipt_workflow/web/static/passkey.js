// Makes a passkey, or signs in by one: the browser allows neither without a script. A form says which by data-passkey, and by
// data-options where the options come from. The answer is sent by the form itself.
"use strict";

const UNABLE = "This browser cannot use passkeys here. Use a newer browser, or another way to sign in.";
const NOT_DONE = "No passkey was used. Try again, or use another way to sign in.";
const KNOWN = "This device has a passkey of yours already. Use another device for another passkey.";
const NOT_ASKED = "That did not work. Load the page again; if you tried often, wait some minutes.";

async function answered(form) {
  const asked = await fetch(form.dataset.options, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (!asked.ok) throw new Error(NOT_ASKED);
  const options = await asked.json();
  if (form.dataset.passkey === "make") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  }
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
}

function sentence(error) {
  if (error.name === "InvalidStateError") return KNOWN;
  return error.message === NOT_ASKED ? NOT_ASKED : NOT_DONE;
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const problem = form.querySelector("[role=alert]");
  problem.textContent = "";
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) {
    problem.textContent = UNABLE;
    return;
  }
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await answered(form);
    form.elements.answer.value = JSON.stringify(answer.toJSON());
    form.submit();
  } catch (error) {
    problem.textContent = sentence(error);
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) form.addEventListener("submit", send);
