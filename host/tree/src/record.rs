//! Records: objects with fixed keys, inherited key by key.

/// Makes two types of one list of keys: what is written, and what is computed of it. The text on a
/// key is also its description in the JSON Schema.
macro_rules! record {
    (
        $(#[$written_doc:meta])* $written:ident as $schema:literal,
        $(#[$computed_doc:meta])* $computed:ident,
        $expected:literal,
        { $( $(#[doc = $doc:literal])+ $key:ident: $kind:ty, )* }
    ) => {
        $(#[$written_doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $written {
            $( $(#[doc = $doc])+ pub $key: $crate::Written<$kind>, )*
        }

        $(#[$computed_doc])*
        #[derive(Clone, Debug)]
        pub struct $computed {
            /// The level that said there is one.
            pub origin: $crate::Origin,
            $( $(#[doc = $doc])+ pub $key: Option<<$kind as $crate::written::Part>::Computed>, )*
        }

        impl $written {
            pub(crate) const KEYS: &'static [&'static str] = &[$( stringify!($key), )*];

            pub(crate) fn read_members(
                members: &serde_json::Map<String, serde_json::Value>,
                at: &mut $crate::problem::Reader,
            ) -> Self {
                Self {
                    $( $key: $crate::Written::read(members, stringify!($key), at), )*
                }
            }

            /// The schema of each key; what is said here of a key is what editors show.
            pub(crate) fn schema_members(
                schemas: &mut $crate::schema::Schemas,
            ) -> serde_json::Map<String, serde_json::Value> {
                let mut members = serde_json::Map::new();
                $(
                    let description = concat!($( $doc, )+);
                    members.insert(
                        stringify!($key).to_owned(),
                        schemas.key::<$kind>(description),
                    );
                )*
                members
            }

            pub(crate) fn write_members(
                &self,
                members: &mut serde_json::Map<String, serde_json::Value>,
                secrets: $crate::Secrets,
            ) {
                $( self.$key.write(stringify!($key), members, secrets); )*
            }

            pub(crate) fn visit_member_secrets(&mut self, visit: &mut $crate::secret::Visit<'_>) {
                $( self.$key.visit_secrets(stringify!($key), visit); )*
            }

            /// Whether nothing is written, not even `null`.
            #[must_use]
            pub fn is_silent(&self) -> bool {
                true $( && self.$key.is_absent() )*
            }
        }

        impl $computed {
            pub(crate) fn new(origin: $crate::Origin) -> Self {
                Self { origin, $( $key: None, )* }
            }

            pub(crate) fn is_empty(&self) -> bool {
                true $( && self.$key.is_none() )*
            }

            pub(crate) fn take(&mut self, written: &$written, origin: &$crate::Origin) {
                if self.origin.via().is_some() && origin.via().is_none() {
                    self.origin = origin.clone();
                }
                $( written.$key.apply(&mut self.$key, origin); )*
            }

            pub(crate) fn forget(&mut self) {
                $( <$kind as $crate::written::Part>::forget_prototypes(&mut self.$key); )*
            }

            pub(crate) fn add_lines(&self, path: &str, lines: &mut Vec<$crate::Line>) {
                $(
                    if let Some(value) = &self.$key {
                        let key = $crate::key_path::below(path, stringify!($key));
                        <$kind as $crate::written::Part>::lines(value, &key, lines);
                    }
                )*
            }
        }

        impl $crate::written::Part for $written {
            type Computed = $computed;
            const NAMED: bool = true;

            fn read(
                value: &serde_json::Value,
                at: &mut $crate::problem::Reader,
            ) -> Option<Self> {
                let members = at.members(value, $expected)?;
                at.only(members, Self::KEYS.iter().copied());
                Some(Self::read_members(members, at))
            }

            fn schema(schemas: &mut $crate::schema::Schemas) -> serde_json::Value {
                schemas.shared($schema, |schemas| {
                    serde_json::Value::Object($crate::schema::object(Self::schema_members(schemas)))
                })
            }

            fn json(&self, secrets: $crate::Secrets) -> serde_json::Value {
                let mut members = serde_json::Map::new();
                self.write_members(&mut members, secrets);
                serde_json::Value::Object(members)
            }

            fn apply(&self, slot: &mut Option<$computed>, origin: &$crate::Origin) {
                slot.get_or_insert_with(|| $computed::new(origin.clone()))
                    .take(self, origin);
            }

            fn forget_prototypes(slot: &mut Option<$computed>) {
                if let Some(computed) = slot {
                    computed.forget();
                    if computed.is_empty() && computed.origin.via().is_some() {
                        *slot = None;
                    }
                }
            }

            fn lines(computed: &$computed, path: &str, lines: &mut Vec<$crate::Line>) {
                if computed.is_empty() {
                    lines.push($crate::Line {
                        key: path.to_owned(),
                        value: "{}".to_owned(),
                        origin: computed.origin.clone(),
                    });
                }
                computed.add_lines(path, lines);
            }

            fn visit_secrets(&mut self, visit: &mut $crate::secret::Visit<'_>) {
                self.visit_member_secrets(visit);
            }
        }
    };
}

pub(crate) use record;
