//! What a module's parameters are called, in the module and in files.
//!
//! A parameter's path is the names of the fields that lead to it. Modules are written so that this *is* the name
//! that diffusers and transformers use, with two rules: a field `_2` stands for entry 2 of a PyTorch `Sequential`
//! (a Rust field cannot begin with a digit), and an enum's variant adds nothing.
//!
//! To change weights in place, as a LoRA does when it is merged, write a [`ModuleMapper`] that keeps a
//! [`ParameterPath`] and adds to the tensors whose path it knows: every linear layer and convolution keeps its
//! weight in PyTorch's layout, so the product of the two low-rank factors is added as it stands.
//!
//! [`ModuleMapper`]: burn::module::ModuleMapper

use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Keeps track of where a walk through a module is.
///
/// A [`ModuleVisitor`] or [`burn::module::ModuleMapper`] forwards its `enter_module` and `exit_module` here.
#[derive(Clone, Debug, Default)]
pub struct ParameterPath {
    path: Vec<String>,
}

impl ParameterPath {
    /// Goes into a field, an entry of a list, or an enum's variant.
    pub fn enter(&mut self, name: &str, container: &str) {
        if is_named(container) {
            let name = match name.strip_prefix('_') {
                Some(index) if index.bytes().all(|byte| byte.is_ascii_digit()) => index,
                _ => name,
            };
            self.path.push(name.to_owned());
        }
    }

    /// Comes back out.
    pub fn exit(&mut self, container: &str) {
        if is_named(container) {
            self.path.pop();
        }
    }

    /// The parameter's name, as in `down_blocks.0.resnets.1.conv1.weight`.
    pub fn name(&self) -> String {
        self.path.join(".")
    }
}

fn is_named(container: &str) -> bool {
    !container.starts_with("Enum:")
}

/// One parameter of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its path.
    pub name: String,
    /// Its dimensions, in PyTorch's order.
    pub shape: Vec<usize>,
}

/// A module's parameters, in the order of its fields. Costs no memory on the device, loaded or not.
pub fn parameters<M: Module>(module: &M) -> Vec<Parameter> {
    struct Collect {
        path: ParameterPath,
        found: Vec<Parameter>,
    }
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().as_slice().to_vec();
            self.found.push(Parameter { name: self.path.name(), shape });
        }

        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }

        fn exit_module(&mut self, _name: &str, container: &str) {
            self.path.exit(container);
        }
    }
    let mut collect = Collect { path: ParameterPath::default(), found: Vec::new() };
    module.visit(&mut collect);
    collect.found
}

/// How many numbers a module's parameters have together.
pub fn parameter_count<M: Module>(module: &M) -> u64 {
    let elements = |parameter: &Parameter| parameter.shape.iter().map(|dim| *dim as u64).product::<u64>();
    parameters(module).iter().map(elements).sum()
}

/// Where a file has a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tensor.
    pub tensor: String,
    /// Which part of it, and how it lies.
    pub cut: Cut,
}

/// How a parameter lies in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is the tensor.
    Whole,
    /// It is the first, second or third part (0, 1, 2) of three equal ones that were stacked along the first dimension.
    Third(usize),
    /// It is the tensor, of two dimensions, with rows and columns exchanged.
    Transposed,
}

impl Cut {
    /// How many such parameters a tensor has room for.
    pub(super) fn share(self) -> u64 {
        if matches!(self, Self::Third(_)) { 3 } else { 1 }
    }

    /// The shape of the tensor that has a parameter of this `shape`.
    pub(super) fn whole(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::Third(_), [first, rest @ ..]) => {
                std::iter::once(first.saturating_mul(3)).chain(rest.iter().copied()).collect()
            }
            (Self::Transposed, [rows, columns]) => vec![*columns, *rows],
            _ => shape.to_vec(),
        }
    }
}

impl From<String> for Place {
    fn from(tensor: String) -> Self {
        Self { tensor, cut: Cut::Whole }
    }
}

/// How files call a module's parameters.
///
/// The first rule that gives a name which the file has wins. A rule gives `None` for parameters that it does not
/// concern.
#[derive(Clone, Default)]
pub struct KeyMap {
    rules: Vec<Rule>,
    /// Whether a tensor is one that the module should explain; all are, if nothing is said.
    belongs: Option<Belongs>,
}

type Rule = Arc<dyn Fn(&str) -> Option<Place> + Send + Sync>;
type Belongs = Arc<dyn Fn(&str) -> bool + Send + Sync>;

impl KeyMap {
    /// The module's own names.
    pub fn identity() -> Self {
        Self::default().or(|name| Some(name.to_owned()))
    }

    /// Adds a rule, tried after those before it.
    #[must_use]
    pub fn or<P: Into<Place>>(mut self, rule: impl Fn(&str) -> Option<P> + Send + Sync + 'static) -> Self {
        self.rules.push(Arc::new(move |name| rule(name).map(Into::into)));
        self
    }

    /// The same where the file has tensors that the module knows nothing of: those for which `belongs` says no.
    #[must_use]
    pub fn among(mut self, belongs: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.belongs = Some(match self.belongs.take() {
            Some(before) => Arc::new(move |name| before(name) && belongs(name)),
            None => Arc::new(belongs),
        });
        self
    }

    /// The same behind `prefix`, in a file that has other networks beside: tensors without it are not the module's.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        let move_rule = |rule: Rule| -> Rule {
            let prefix = prefix.to_owned();
            Arc::new(move |name| rule(name).map(|place| Place { tensor: format!("{prefix}{}", place.tensor), ..place }))
        };
        let rules = self.rules.into_iter().map(move_rule).collect();
        let (prefix, belongs) = (prefix.to_owned(), self.belongs);
        Self { rules, belongs: None }.among(move |name| {
            name.strip_prefix(prefix.as_str()).is_some_and(|rest| belongs.as_ref().is_none_or(|belongs| belongs(rest)))
        })
    }

    /// Where a file may have the parameter `name`, the likeliest place first.
    pub fn candidates(&self, name: &str) -> impl Iterator<Item = Place> {
        self.rules.iter().filter_map(move |rule| rule(name))
    }

    /// Whether the module should explain a file's tensor of this name.
    pub fn explains(&self, tensor: &str) -> bool {
        self.belongs.as_ref().is_none_or(|belongs| belongs(tensor))
    }
}

impl std::fmt::Debug for KeyMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyMap of {} rules", self.rules.len())
    }
}
